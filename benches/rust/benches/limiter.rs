//! One limiter beside governor's, under criterion.
#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{Criterion, criterion_group, criterion_main};
use sluicegate_benches::{Case, limiter};

fn bench(criterion: &mut Criterion) {
    for Case { name, ours, peer } in limiter() {
        let mut group = criterion.benchmark_group(format!("limiter, {name}"));
        group.bench_function("sluicegate", |bencher| bencher.iter_custom(&ours));
        if let Some(peer) = peer {
            group.bench_function("governor", |bencher| bencher.iter_custom(&peer));
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
