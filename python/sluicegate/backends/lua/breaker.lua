-- A circuit breaker under one key: state, window and probes on the server's time, in integers below 2^53.
--
-- KEYS[1] the breaker, a hash: `h` the header (see NAMES), `why` the reason of an isolation, the window's steps
--         `t<us>:<index>` as "step calls failures slow" or its last results `c<size>` as digits (1 failed, 2 slow,
--         3 both), and the probes' places `p<index>` as "lease until" or "= failed slow".
-- ARGV[1] one word after the other: verb, the permit's generation, its lease or -, outcome (s, f, i or -), slow,
--         leases that were dropped or -; fast successes kept back: how many, of which generation, how old in us;
--         late successes, refusals and ignored calls since the last question; then the config: window (t or c), its step in us or
--         its size, failure ratio, slow ratio (two words each), least throughput, failures in a row or 0, break
--         in us, places, probe timeout in us or 0, whether slowness is measured.
--   enter   may a call go ahead? where it is a probe, the lease is its place's
--   settle  how it ended
--   force   ARGV[2] the state, ARGV[3] the reason
--   stretch ARGV[2] the true length of the generation's break in us
--   read    every figure
-- Reply   "granted probe state generation wait from to trips", from and to -1 where nothing changed, trips 0
--         where it was no trip, wait -1 where only a hand can tell; where isolated, {this, the reason}.
--         read: the same, and "; age calls failures slow trips successes failures slow ignored refused row".
local CLOSED, OPEN, HALF_OPEN, ISOLATED, METRICS_ONLY = 0, 1, 2, 3, 4
local STEPS, LEAST_LEASE = 64, 30000000
local DAY, TEN_YEARS = 86400000, 315360000000
local KEY = KEYS[1]

local words = {}
for word in string.gmatch(ARGV[1], '%S+') do words[#words + 1] = word end
local verb, generation, lease, outcome = words[1], tonumber(words[2]), words[3], words[4]
local is_slow, dropped = tonumber(words[5]), words[6]
local kept, kept_by, kept_for = tonumber(words[7]), tonumber(words[8]), tonumber(words[9])
local late_ones, refused, ignored = tonumber(words[10]), tonumber(words[11]), tonumber(words[12])
local kind, size = words[13], tonumber(words[14])
local failures_of, failures_in, slow_of, slow_in =
  tonumber(words[15]), tonumber(words[16]), tonumber(words[17]), tonumber(words[18])
local least, longest_row, pause = tonumber(words[19]), tonumber(words[20]), tonumber(words[21])
local places, patience, measures = tonumber(words[22]), tonumber(words[23]), words[24] == '1'

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

-- The generation of a new key is the time, so that no permit of before a loss of data fits it.
local NAMES = {'state', 'generation', 'since', 'till', 'seen', 'repeated', 'trips', 'row', 'exceeded',
  'successes', 'failures', 'slow', 'ignored', 'refused', 'frozen', 'frozen_failures', 'frozen_slow'}
local b = {state = CLOSED, generation = now, since = now, seen = now}
local header, at = redis.call('HGET', KEY, 'h'), 0
for _, name in ipairs(NAMES) do b[name] = b[name] or 0 end
if header then
  for word in string.gmatch(header, '%d+') do
    at = at + 1
    b[NAMES[at]] = tonumber(word)
  end
end
local from, to, tripped = -1, -1, 0

-- A clock set back a little stands still; one that is behind by more goes on from here without its window.
if b.seen - now > 1000000 then
  local behind = b.seen - now
  local why = redis.call('HGET', KEY, 'why')
  redis.call('DEL', KEY)
  if why then redis.call('HSET', KEY, 'why', why) end
  b.since = math.max(0, b.since - behind)
  if b.state == OPEN then b.till = math.max(0, b.till - behind) end
else
  now = math.max(now, b.seen)
end

local function whole(number) return string.format('%.0f', number) end

-- Whether a/b reaches c/d, by the digits of their continued fractions: no product leaves 53 bits.
local function reaches(a, b, c, d)
  while true do
    local left, right = math.floor(a / b), math.floor(c / d)
    if left ~= right then return left > right end
    a, c = math.fmod(a, b), math.fmod(c, d)
    if c == 0 then return true end
    if a == 0 then return false end
    a, b, c, d = d, c, b, a
  end
end

local function is_ill(failures, slow, of)
  return (failures > 0 and reaches(failures, of, failures_of, failures_in))
    or (slow > 0 and reaches(slow, of, slow_of, slow_in))
end

local window = kind .. words[14]
local step = kind == 't' and math.floor(now / size) or 0

local function record(age, count, failed, slow)
  if kind == 'c' then
    local digits = string.rep(tostring(failed + 2 * slow), math.min(count, size))
    local results = (redis.call('HGET', KEY, window) or '') .. digits
    redis.call('HSET', KEY, window, string.sub(results, -size))
    return
  end
  local own = math.floor(math.max(0, now - age) / size)
  if own <= step - STEPS then return end
  local field = window .. ':' .. whole(own % STEPS)
  local cell = redis.call('HGET', KEY, field) or '0 0 0 0'
  local when, calls, bad, late = string.match(cell, '(%d+) (%d+) (%d+) (%d+)')
  if tonumber(when) ~= own then calls, bad, late = 0, 0, 0 end
  redis.call('HSET', KEY, field,
    string.format('%.0f %.0f %.0f %.0f', own, calls + count, bad + failed * count, late + slow * count))
end

local function tally()
  if kind == 'c' then
    local results = redis.call('HGET', KEY, window) or ''
    local _, failed = string.gsub(results, '[13]', '')
    local _, slow = string.gsub(results, '[23]', '')
    return #results, failed, slow
  end
  local fields = {}
  for index = 1, STEPS do fields[index] = window .. ':' .. (index - 1) end
  local calls, failed, slow = 0, 0, 0
  for _, cell in ipairs(redis.call('HMGET', KEY, unpack(fields))) do
    if cell then
      local when, some, bad, late = string.match(cell, '(%d+) (%d+) (%d+) (%d+)')
      if tonumber(when) > step - STEPS then calls, failed, slow = calls + some, failed + bad, slow + late end
    end
  end
  return calls, failed, slow
end

local function turn(state, since, till)
  from, to = b.state, state
  redis.call('DEL', KEY)
  b.state, b.generation, b.since, b.till, b.row, b.exceeded = state, b.generation + 1, since, till, 0, 0
  if state ~= OPEN then b.frozen, b.frozen_failures, b.frozen_slow = 0, 0, 0 end
  if state ~= OPEN and state ~= HALF_OPEN then b.repeated = 0 end
end

local function trip(calls, failed, slow)
  b.frozen, b.frozen_failures, b.frozen_slow = calls, failed, slow
  b.trips, b.repeated = b.trips + 1, b.repeated + 1
  tripped = b.repeated
  turn(OPEN, now, now + pause)
end

local function each_place()  -- what every place holds, false where it is free
  local fields = {}
  for index = 1, places do fields[index] = 'p' .. (index - 1) end
  return redis.call('HMGET', KEY, unpack(fields))
end

local function results()
  local calls, failed, slow = 0, 0, 0
  for _, place in ipairs(each_place()) do
    local bad, late = string.match(place or '', '^= (%d) (%d)$')
    if bad then calls, failed, slow = calls + 1, failed + bad, slow + late end
  end
  return calls, failed, slow
end

local function judge()
  local calls, failed, slow = results()
  local open = places - calls
  if is_ill(failed, slow, places) then
    trip(calls, failed, slow)
  elseif not is_ill(failed + open, measures and slow + open or 0, places) then
    turn(CLOSED, now, 0)
  end
end

local function replace(ident, value)  -- puts a result where the lease was, if that still is there
  for index, place in ipairs(each_place()) do
    if place and string.match(place, '^(%S+)') == ident then
      if value then
        redis.call('HSET', KEY, 'p' .. (index - 1), value)
      else
        redis.call('HDEL', KEY, 'p' .. (index - 1))
      end
      return true
    end
  end
  return false
end

-- A free place, or else one whose lease has run out, or the one that the same question got a moment ago;
-- false where there is none, and whether one may come.
local function take()
  local free, overdue, out
  for index, place in ipairs(each_place()) do
    local holder, till = string.match(place or '', '^([^=]%S*) (%d+)$')
    if holder == lease then return true end
    if not place then
      free = free or index
    elseif till then
      out = true
      if tonumber(till) <= now then overdue = overdue or index end
    end
  end
  overdue = free or overdue
  if not overdue then return false, out end
  local term = patience > 0 and patience or math.max(LEAST_LEASE, b.till)
  redis.call('HSET', KEY, 'p' .. (overdue - 1), lease .. ' ' .. whole(now + term))
  return true, out
end

-- What this worker kept back until now.
b.successes, b.refused, b.ignored = b.successes + late_ones, b.refused + refused, b.ignored + ignored
if kept > 0 then
  b.successes = b.successes + kept
  if kept_by == b.generation and (b.state == CLOSED or b.state == METRICS_ONLY) then
    record(kept_for, kept, 0, 0)
    b.row = 0
  end
end
if dropped ~= '-' and b.state == HALF_OPEN then
  for ident in string.gmatch(dropped, '[^,]+') do replace(ident, nil) end
end

local granted, probe = 0, 0
if verb == 'enter' then
  -- Half-open begins with the end of the break, and keeps how long that was.
  if b.state == OPEN and now >= b.till then turn(HALF_OPEN, b.till, b.till - b.since) end
  if b.state == HALF_OPEN then
    local found, out = take()
    if found then
      granted, probe = 1, 1
    elseif not out then
      judge()
      if b.state == CLOSED then granted = 1 end
    end
  elseif b.state ~= OPEN and b.state ~= ISOLATED then
    granted = 1
  end
  if granted == 0 then b.refused = b.refused + 1 end
elseif verb == 'settle' then
  local is_own = generation == b.generation
  local failed = outcome == 'f' and 1 or 0
  if outcome == 'i' then
    b.ignored = b.ignored + 1
    if is_own and lease ~= '-' then replace(lease, nil) end
  else
    local outcomes = failed == 1 and 'failures' or 'successes'
    b[outcomes] = b[outcomes] + 1
    b.slow = b.slow + is_slow
    if is_own and b.state == HALF_OPEN then
      if replace(lease, string.format('= %d %d', failed, is_slow)) then judge() end
    elseif is_own and (b.state == CLOSED or b.state == METRICS_ONLY) then
      record(0, 1, failed, is_slow)
      b.row = failed == 1 and b.row + 1 or 0
      if failed == 1 or is_slow == 1 then
        local calls, bad, late = tally()
        local is_over = longest_row > 0 and b.row >= longest_row
        if is_over or (calls >= least and is_ill(bad, late, calls)) then
          if b.state == CLOSED then
            trip(calls, bad, late)
          elseif b.exceeded == 0 then
            b.exceeded, from, to = 1, METRICS_ONLY, METRICS_ONLY
          end
        end
      end
    end
  end
elseif verb == 'force' then
  local state = tonumber(ARGV[2])
  if b.state ~= state then
    turn(state, now, 0)
  elseif state == CLOSED then
    turn(state, now, 0)
    from, to = -1, -1
  end
  if state == ISOLATED then redis.call('HSET', KEY, 'why', ARGV[3]) end
elseif verb == 'stretch' then
  if b.state == OPEN and b.generation == generation then b.till = b.since + tonumber(ARGV[2]) end
end

local wait = 0
if b.state == OPEN then
  wait = math.max(0, b.till - now)
elseif b.state == ISOLATED then
  wait = -1
elseif b.state == HALF_OPEN then
  local first
  for _, place in ipairs(each_place()) do
    local till = string.match(place or '', '^[^=]%S* (%d+)$')
    if not place then
      first = 0
    elseif till then
      first = math.min(first or TEN_YEARS * 1000, math.max(0, tonumber(till) - now))
    end
  end
  wait = first or 0
end

local reply = string.format('%d %d %d %.0f %.0f %d %d %.0f',
  granted, probe, b.state, b.generation, wait, from, to, tripped)
if verb == 'read' then
  local calls, failed, slow, since = 0, 0, 0, b.since
  if b.state == CLOSED or b.state == METRICS_ONLY then
    calls, failed, slow = tally()
  elseif b.state == HALF_OPEN then
    calls, failed, slow = results()
  elseif b.state == OPEN then
    calls, failed, slow = b.frozen, b.frozen_failures, b.frozen_slow
    if now >= b.till then since = b.till end
  end
  reply = reply .. string.format(' ; %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f', now - since, calls,
    failed, slow, b.trips, b.successes, b.failures, b.slow, b.ignored, b.refused, b.repeated)
end

-- Reading writes as well: it told a generation.
b.seen = now
local values = {}
for index, name in ipairs(NAMES) do values[index] = whole(b[name]) end
redis.call('HSET', KEY, 'h', table.concat(values, ' '))
local life = DAY + (kind == 't' and size * STEPS / 1000 or 0)
if b.state > HALF_OPEN then
  life = TEN_YEARS
elseif b.state == OPEN then
  life = life + wait / 1000
elseif b.state == HALF_OPEN then
  life = life + math.max(patience, LEAST_LEASE, b.till) / 1000
end
redis.call('PEXPIRE', KEY, whole(math.min(TEN_YEARS, math.ceil(life))))
if b.state == ISOLATED then return {reply, redis.call('HGET', KEY, 'why') or ''} end
return reply
