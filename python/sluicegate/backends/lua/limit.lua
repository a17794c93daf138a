-- One limit under one key: generic cell rate algorithm on the server's time, in integers below 2^53.
--
-- KEYS[1] the limit; KEYS[2] the record of a reservation (reserve, settle).
-- ARGV[1] one word after the other, since every argument costs the client time: verb, count, amount, term in us,
--         old lease or -, what is unspent of it, new lease or -; then cost,earn,burst of each quota: a permit
--         is `cost` units, a microsecond earns `earn` of them, `burst` permits may be owed.
--   peek    nothing is written
--   take    amount: permits wanted ahead
--   reserve amount: the longest wait in us, or -1
--   settle  amount: what was reserved; term 1 cancels
-- ARGV[2] take of one quota without a lease has the same in numbers: cost, earn, and in units the burst and what
--         is wanted
-- State   of one quota and no leases cost, debt, at, refunds, epoch;
--         else {epoch, {{cost, debt, at, refunds, hold}, ...}, {{lease, expiry, permits}, ...}}
-- Reply   take, peek, reserve: granted, wait or -1, deciding quota, remaining, reset or -1, leased; settle: permits;
--         where ARGV[2] decided: the debt, or -1 minus the debt that refuses
local time, stored = redis.call('TIME'), redis.call('GET', KEYS[1])
local now = time[1] * 1000000 + time[2]

if ARGV[2] then
  local cost, debt, at, refunds, epoch = ARGV[2] + 0, 0, now, 0, now
  local known = cost
  if stored then known, debt, at, refunds, epoch = cmsgpack.unpack(stored) end
  if known == cost and at <= now then  -- else there is more to do
    local earn = ARGV[3] + 0
    debt = math.max(0, debt - (now - at) * earn)
    local owed = debt + ARGV[5]
    if owed > ARGV[4] + 0 then return -1 - debt end
    local life = math.min(315360000000, math.ceil(owed / earn / 1000) + 1000)
    redis.call('SET', KEYS[1], cmsgpack.pack(cost, owed, now, refunds, epoch), 'PX', life)
    return owed
  end
end

local LARGEST = 9007199254740991
local verb, count, amount, term, old, unspent, fresh, quotas =
  string.match(ARGV[1], '(%a+) (%d+) (-?%d+) (%d+) (%S+) (%d+) (%S+) (.*)')
count, amount, term, unspent = tonumber(count), tonumber(amount), tonumber(term), tonumber(unspent)

local function up(units, by)  -- the quotient rounded up, exactly: fmod does not round
  local rest = math.fmod(units, by)
  return (units - rest) / by + (rest > 0 and 1 or 0)
end
local function down(units, by)
  return (units - math.fmod(units, by)) / by
end
local function charge(entry, units)
  entry[2] = math.min(LARGEST, entry[2] + units)
end

local state = {now, {}, {}}
if stored then
  local first, debt, at, refunds, epoch = cmsgpack.unpack(stored)
  state = debt and {epoch, {{first, debt, at, refunds, 0}}, {}} or first
end
local function renew()  -- begin an epoch: reservations of the one before refund nothing
  state[1] = math.max(now, state[1] + 1)
end
local entries, leases, changed = state[2], state[3], false
local number, earns, bursts = 0, {}, {}
for cost, earn, burst in string.gmatch(quotas, '(%d+),(%d+),(%d+)') do
  local i = number + 1
  number, cost, earn = i, tonumber(cost), tonumber(earn)
  earns[i], bursts[i] = earn, tonumber(burst)
  local entry = entries[i]
  if not entry then
    entry = {cost, 0, now, 0, 0}
    entries[i] = entry
  elseif entry[1] ~= cost then  -- another quota counts in another unit
    local whole = down(entry[2], entry[1])
    local rest = (entry[2] - whole * entry[1]) * cost
    local part = rest <= LARGEST and up(rest, entry[1]) or math.ceil(rest / entry[1]) + 1
    entry[2] = math.min(LARGEST, whole * cost + math.min(cost, part))
    entry[1], entry[4] = cost, 0
    renew()
  end
  -- A clock set back a little earns nothing; a server whose clock is behind by more begins anew from here.
  if entry[3] - now > 1000000 then
    entry[3], entry[5] = now, 0
    renew()
  end
  local elapsed = now - entry[3]
  if elapsed > 0 then
    if entry[2] == 0 or (earn > 0 and elapsed >= up(entry[2], earn)) then
      entry[2] = 0
    else
      entry[2] = entry[2] - elapsed * earn
    end
    entry[3] = now
  end
end

-- What a lease holds is neither owed nor free. Spent or lost, it is owed from now on; unspent, it is free again.
local out, expiry, kept = 0, 0, {}
for _, lease in ipairs(leases) do
  local spent = 0
  if verb == 'take' and lease[1] == old then
    spent = lease[3] - math.min(lease[3], unspent)
    changed = true
  elseif lease[2] <= now then
    spent = lease[3]
    changed = true
  else
    out = out + lease[3]
    expiry = expiry == 0 and lease[2] or math.min(expiry, lease[2])
    kept[#kept + 1] = lease
  end
  for i = 1, number do charge(entries[i], spent * entries[i][1]) end
end
state[3] = kept

local function clear(more)  -- microseconds until nothing is owed, were `more` permits owed too; -1 for never
  local longest = 0
  for i = 1, number do
    local owed = entries[i][2] + more * entries[i][1]
    if owed > 0 then
      if earns[i] == 0 then return -1 end
      longest = math.max(longest, up(owed, earns[i]))
    end
  end
  return longest
end
local function lifetime()  -- in ms, with a second to spare; ten years where a debt stays
  local longest, last = clear(out), 0
  if longest < 0 then return 315360000000 end
  for _, lease in ipairs(state[3]) do last = math.max(last, lease[2] - now) end  -- then what was out is owed
  longest = longest + last
  for i = 1, number do longest = math.max(longest, entries[i][5] - now) end
  local life = math.min(315360000000, math.ceil(longest / 1000) + 1000)
  -- What others count under quotas that are unknown here lives as long as they said.
  if #entries > number then life = math.max(life, redis.call('PTTL', KEYS[1])) end
  return string.format('%.0f', life)
end
local function save()
  local entry = entries[1]
  local plain = #entries == 1 and #state[3] == 0 and entry[5] == 0
  local text = plain and cmsgpack.pack(entry[1], entry[2], entry[3], entry[4], state[1]) or cmsgpack.pack(state)
  redis.call('SET', KEYS[1], text, 'PX', lifetime())
end
local function reply(granted, wait, leased)
  local least, which = nil, 1
  for i = 1, number do
    local room = (bursts[i] - out) * entries[i][1] - entries[i][2]
    local remaining = room > 0 and down(room, entries[i][1]) or 0
    if not least or remaining < least then least, which = remaining, i end
  end
  return string.format('%d %.0f %d %.0f %.0f %.0f', granted, wait, which, least, clear(0), leased)
end

local record = KEYS[2] and redis.call('GET', KEYS[2])
record = record and cmsgpack.unpack(record)
if verb == 'settle' then
  if record and record[1] == 'settled' then return record[2] end
  local given = amount - count
  if given < 0 then
    for i = 1, number do charge(entries[i], -given * entries[i][1]) end
  elseif not record or not stored or record[1] ~= state[1] or (term == 1 and now >= record[2]) then
    given = 0
  elseif given > 0 then
    local unused = given
    for i = 1, number do
      local entry, made, earn = entries[i], record[4][i], earns[i]
      local ahead = 0
      if made and made[3] == entry[1] then
        local from = math.max(now, entry[5]) - record[3]
        local left = made[1] - (entry[4] - made[2])
        if left > 0 and (earn == 0 or from < up(left, earn)) then ahead = left - from * earn end
      end
      local refund = math.min(unused * entry[1], ahead, entry[2])
      entry[2], entry[4] = entry[2] - refund, entry[4] + refund
      if entry[4] > LARGEST / 2 then
        entry[4] = 0
        renew()
      end
      given = math.min(given, down(refund, entry[1]))
    end
  end
  save()
  redis.call('SET', KEYS[2], cmsgpack.pack({'settled', given}), 'PX', lifetime())
  return given
end

if verb == 'reserve' and record and record[1] ~= 'settled' then  -- asked again: the first answer was lost
  return reply(1, math.max(0, record[2] - now), 0)
end
local wait = 0
for i = 1, number do
  local entry = entries[i]
  local short = entry[2] - (bursts[i] - out - count) * entry[1]  -- no sum in between passes 2^53
  if short > 0 then
    local needed = earns[i] > 0 and up(math.min(short, entry[2]), earns[i]) or -1
    if short > entry[2] then  -- only the end of a lease makes room
      if verb == 'reserve' then return reply(0, math.max(1, expiry - now), 0) end
      needed = math.max(needed, expiry - now, 1)
    elseif needed < 0 then
      return reply(0, -1, 0)
    end
    wait = math.max(wait, needed)
  end
end

if verb == 'reserve' then
  if amount >= 0 and wait > amount then return reply(0, wait, 0) end
  local made = {}
  for i = 1, number do
    local entry = entries[i]
    -- What would be owed passes 2^53; once it has waited for the permits, it does not.
    local most = LARGEST - count * entry[1]
    if wait * earns[i] > most or entry[2] > most then return reply(0, wait, 0) end
    made[i] = {math.max(entry[2], wait * earns[i]) + count * entry[1], entry[4], entry[1]}
  end
  for i = 1, number do
    entries[i][2] = made[i][1]
    if number > 1 and wait > 0 then entries[i][5] = math.max(entries[i][5], now + wait) end
  end
  save()
  redis.call('SET', KEYS[2], cmsgpack.pack({state[1], now + wait, now, made}), 'PX', lifetime())
  return reply(1, wait, 0)
end

if wait > 0 then
  if changed and verb == 'take' then save() end
  return reply(0, wait, 0)
end
if verb == 'peek' or count == 0 then return reply(1, 0, 0) end
local spare
for i = 1, number do
  local entry = entries[i]
  charge(entry, count * entry[1])
  local room = down(math.max(0, (bursts[i] - out) * entry[1] - entry[2]), entry[1])
  spare = spare and math.min(spare, room) or room
end
-- Half of what is free at most, so that one worker does not starve the others.
local leased = math.min(amount, math.floor(spare / 2))
if leased > 0 then
  state[3][#state[3] + 1] = {fresh, now + term, leased}
  out = out + leased
end
save()
return reply(1, 0, leased)
