//! Prints what each call costs and how that compares with the peer, measured in turns within one
//! run: medians over the rounds, so that a busy machine troubles both alike.

use std::time::Duration;

use sluicegate_benches::{Case, Run, breaker, keyed, limiter, sharded};

const CALLS: u64 = 100_000;
const ROUNDS: usize = 101;

fn nanos_a_call(run: &Run, calls: u64) -> f64 {
    let span: Duration = run(calls);
    #[expect(clippy::cast_precision_loss, reason = "a number of calls, below 2^53")]
    let calls = calls as f64;
    span.as_secs_f64() * 1e9 / calls
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn print(group: &str, case: &Case, rounds: usize, calls: u64) {
    let Case { name, ours, peer } = case;
    let (mut costs, mut peers, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let cost = nanos_a_call(ours, calls);
        costs.push(cost);
        if let Some(peer) = peer {
            let other = nanos_a_call(peer, calls);
            peers.push(other);
            ratios.push(cost / other);
        }
    }
    print!("{:<24}{:>8.1} ns", format!("{group}, {name}"), median(costs));
    if peers.is_empty() {
        println!();
    } else {
        println!("{:>12.1} ns{:>10.2}", median(peers), median(ratios));
    }
}

fn main() {
    let smoke = std::env::args().any(|argument| argument == "--smoke");
    let (rounds, calls) = if smoke { (1, 1_000) } else { (ROUNDS, CALLS) };
    println!("{:<24}{:>11}{:>15}{:>10}", "", "sluicegate", "governor", "ratio");
    let groups = [
        ("limiter", limiter()),
        ("keyed", keyed()),
        ("sharded", sharded()),
        ("breaker", breaker()),
    ];
    for (group, cases) in groups {
        for case in &cases {
            print(group, case, rounds, calls);
        }
    }
}
