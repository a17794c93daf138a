//! A closed breaker, admitting and recording, under criterion.
#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{Criterion, criterion_group, criterion_main};
use sluicegate_benches::{Case, breaker};

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breaker, admit and record");
    for Case { name, ours, .. } in breaker() {
        group.bench_function(name, |bencher| bencher.iter_custom(&ours));
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
