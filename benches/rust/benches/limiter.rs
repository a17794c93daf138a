//! Limiters beside governor's, under criterion: one, one a key, one in shards.
#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{Criterion, criterion_group, criterion_main};
use sluicegate_benches::{Case, keyed, limiter, sharded};

fn bench(criterion: &mut Criterion) {
    let groups = [("limiter", limiter()), ("keyed", keyed()), ("sharded", sharded())];
    let cases =
        groups.into_iter().flat_map(|(of, cases)| cases.into_iter().map(move |case| (of, case)));
    for (of, Case { name, ours, peer }) in cases {
        let mut group = criterion.benchmark_group(format!("{of}, {name}"));
        group.bench_function("sluicegate", |bencher| bencher.iter_custom(&ours));
        if let Some(peer) = peer {
            group.bench_function("governor", |bencher| bencher.iter_custom(&peer));
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
