//! Trees of traces that are not as they should be.

use freehold::primitives::TraceStore;
use freehold::primitives::trace::{Span, SpanId, SpanKind, TreePlace};

use super::{batch, span, trace_id};

/// Each node as its span's number and side, its place and depth.
fn tree(traces: &TraceStore) -> Vec<(u8, u32, TreePlace, usize)> {
    let tree = traces.tree(trace_id(1));
    for (index, node) in tree.iter().enumerate() {
        let children: Vec<_> = tree.children(index).collect();
        assert!(children.iter().all(|(_, child)| child.parent == Some(index)));
        let below: usize = children.iter().map(|(_, child)| child.subtree_len).sum();
        assert_eq!(node.subtree_len, 1 + below);
        let starts = children.iter().map(|(_, child)| child.span.time());
        assert!(starts.is_sorted(), "children stand in the order of their starts");
    }
    assert_eq!(tree.len(), traces.len(), "every span is a node");
    tree.iter()
        .map(|node| (node.span.span_id.bytes()[0], node.span.key.side, node.place, node.depth))
        .collect()
}

fn store(spans: &[Span]) -> TraceStore {
    let mut traces = TraceStore::default();
    traces.record(batch("shop", spans)).unwrap();
    traces
}

fn of_kind(kind: SpanKind, mut span: Span) -> Span {
    span.kind = kind;
    span
}

#[test]
fn a_span_whose_parent_is_missing_is_a_root_and_marked() {
    let traces = store(&[
        span(1, 3, 9, 30, 40),
        span(1, 4, 3, 31, 39),
        span(1, 2, 1, 20, 30),
        span(1, 1, 0, 50, 60),
    ]);
    assert_eq!(
        tree(&traces),
        [
            (3, 0, TreePlace::Orphan, 0),
            (4, 0, TreePlace::Child, 1),
            (1, 0, TreePlace::Root, 0),
            (2, 0, TreePlace::Child, 1),
        ]
    );
    let tree = traces.tree(trace_id(1));
    assert_eq!(tree.root().unwrap().place, TreePlace::Root, "an orphan is the second choice");
    assert_eq!(tree.roots().count(), 2);
    assert_eq!(tree.get(3).unwrap().early, 30, "it started before its parent");
    assert!(traces.tree(trace_id(2)).is_empty());
}

#[test]
fn spans_that_are_their_own_ancestors_do_not_hang() {
    let traces = store(&[
        span(1, 1, 3, 12, 20),
        span(1, 2, 1, 11, 20),
        span(1, 3, 2, 10, 20),
        span(1, 4, 1, 13, 20),
        span(1, 5, 5, 40, 50),
        span(1, 6, 5, 41, 50),
    ]);
    assert_eq!(
        tree(&traces),
        [
            (3, 0, TreePlace::Cycle, 0),
            (1, 0, TreePlace::Child, 1),
            (2, 0, TreePlace::Child, 2),
            (4, 0, TreePlace::Child, 2),
            (5, 0, TreePlace::Cycle, 0),
            (6, 0, TreePlace::Child, 1),
        ]
    );
    // Two sides of one ID, each under that ID.
    let mut traces = store(&[span(1, 1, 1, 10, 20)]);
    traces.record(batch("other", &[span(1, 1, 1, 11, 20)])).unwrap();
    assert_eq!(tree(&traces), [(1, 0, TreePlace::Cycle, 0), (1, 1, TreePlace::Child, 1)]);
}

#[test]
fn the_receiving_side_of_a_shared_span_stands_under_the_sending_one() {
    let mut traces = TraceStore::default();
    let client = of_kind(SpanKind::Client, span(1, 2, 1, 20, 50));
    // The server's clock is behind; its own child names the ID that both share.
    let server = of_kind(SpanKind::Server, span(1, 2, 1, 5, 30));
    traces.record(batch("back", &[server, span(1, 3, 2, 6, 7)])).unwrap();
    traces.record(batch("front", &[span(1, 1, 0, 10, 60), client, span(1, 4, 2, 21, 22)])).unwrap();
    // Of neither program, and so under the side that received.
    traces.record(batch("third", &[span(1, 5, 2, 8, 9)])).unwrap();
    assert_eq!(
        tree(&traces),
        [
            (1, 0, TreePlace::Root, 0),
            (2, 1, TreePlace::Child, 1),
            (2, 0, TreePlace::Child, 2),
            (3, 0, TreePlace::Child, 3),
            (5, 0, TreePlace::Child, 3),
            (4, 0, TreePlace::Child, 2),
        ]
    );
    assert_eq!(traces.tree(trace_id(1)).get(2).unwrap().early, 15);
}

#[test]
fn a_chain_of_any_length_is_a_tree() {
    let count = 100_000u64;
    let id = |n: u64| SpanId::new(n.to_be_bytes());
    let spans: Vec<_> = (1..=count)
        .map(|n| {
            let mut span = Span::new(trace_id(1), id(n).unwrap(), "link", n);
            // The last is the parent of the first: it is a ring.
            span.parent = id(if n == 1 { count } else { n - 1 });
            span
        })
        .collect();
    let traces = store(&spans);
    let tree = traces.tree(trace_id(1));
    let depths = tree.iter().map(|node| node.depth);
    assert!(depths.eq(0..100_000));
    assert_eq!(tree.root().unwrap().subtree_len, 100_000);
    assert_eq!(tree.count(TreePlace::Cycle), 1);
}
