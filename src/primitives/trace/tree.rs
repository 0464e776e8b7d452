//! `TraceTree`: the spans of a trace, each under the one that caused it.
//!
//! Invariants:
//!
//! 1. Every span of the trace is a node, once. A node stands before those below it, and siblings stand
//!    in the order of their starts.
//! 2. A span that receives (server, consumer) stands under the side that sent (client, producer), if
//!    they share an ID. Otherwise a parent that is several sides is, by preference, a side of the same
//!    resource that does not send, any of the same resource, one that receives, the first.
//! 3. A span whose parent is not in the trace is a root, and marked. Of spans that are their own
//!    ancestors the earliest is a root, and marked.
//! 4. Nothing recurses, so a chain of any length is a tree.

use std::collections::BTreeMap;

use super::id::SpanId;
use super::query::RecordedSpan;

/// The spans of a trace as a tree, or as several.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceTree<'a> {
    nodes: Vec<TreeNode<'a>>,
}

/// A span and its place in the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TreeNode<'a> {
    /// The span.
    pub span: RecordedSpan<'a>,
    /// Why it stands where it does.
    pub place: TreePlace,
    /// How many spans are above it.
    pub depth: usize,
    /// The index of the node above it.
    pub parent: Option<usize>,
    /// By how many nanoseconds it started before the node above it: their clocks differ. 0 if it did
    /// not, or if either start is not known.
    pub early: u64,
    /// How many nodes it and those below it are.
    pub subtree_len: usize,
}

/// Why a span stands where it does in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TreePlace {
    /// It has no parent.
    Root,
    /// It stands under its parent, or under the side that sent what it receives.
    Child,
    /// Its parent is not in the trace, so it is a root.
    Orphan,
    /// It is its own ancestor, so it is a root.
    Cycle,
}

impl<'a> TraceTree<'a> {
    pub(super) fn new(mut spans: Vec<RecordedSpan<'a>>) -> TraceTree<'a> {
        spans.sort_by_key(|span| (span.time(), span.key));
        let mut sides: BTreeMap<SpanId, Vec<usize>> = BTreeMap::new();
        for (index, span) in spans.iter().enumerate() {
            sides.entry(span.span_id).or_default().push(index);
        }
        for of_span in sides.values_mut() {
            of_span.sort_by_key(|&index| spans.get(index).map(|span| span.key.side));
        }
        let mut above: Vec<(Option<usize>, TreePlace)> =
            (0..spans.len()).map(|index| parent_of(index, &spans, &sides)).collect();
        break_cycles(&mut above);

        let mut below: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
        let mut rest = Vec::new();
        for (index, (parent, _)) in above.iter().enumerate().rev() {
            match parent.and_then(|parent| below.get_mut(parent)) {
                Some(siblings) => siblings.push(index),
                None => rest.push((index, None, 0)),
            }
        }
        let mut nodes: Vec<TreeNode<'a>> = Vec::with_capacity(spans.len());
        // The last of `rest` comes next: siblings were put on it from the last to the first.
        while let Some((index, parent, depth)) = rest.pop() {
            let (Some(span), Some((_, place))) = (spans.get(index), above.get(index)) else {
                continue;
            };
            let at = nodes.len();
            let start_above =
                parent.and_then(|parent: usize| nodes.get(parent)).map(|node| node.span.start);
            let early = match start_above {
                Some(above) if span.start != 0 => above.saturating_sub(span.start),
                _ => 0,
            };
            nodes.push(TreeNode {
                span: *span,
                place: *place,
                depth,
                parent,
                early,
                subtree_len: 1,
            });
            let children = below.get(index).into_iter().flatten();
            rest.extend(children.map(|&child| (child, Some(at), depth.saturating_add(1))));
        }
        for at in (0..nodes.len()).rev() {
            let Some((Some(parent), len)) =
                nodes.get(at).map(|node| (node.parent, node.subtree_len))
            else {
                continue;
            };
            if let Some(above) = nodes.get_mut(parent) {
                above.subtree_len = above.subtree_len.saturating_add(len);
            }
        }
        TraceTree { nodes }
    }

    /// The nodes, each before those below it.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &TreeNode<'a>> + ExactSizeIterator {
        self.nodes.iter()
    }

    /// The node at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&TreeNode<'a>> {
        self.nodes.get(index)
    }

    /// How many nodes there are: the spans of the trace.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node: no span of the trace is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The nodes that stand under no other, in the order of their starts: roots, orphans and those
    /// that break a cycle.
    pub fn roots(&self) -> impl Iterator<Item = &TreeNode<'a>> {
        self.nodes.iter().filter(|node| node.parent.is_none())
    }

    /// The span that the trace began with, as far as it is recorded: the first without a parent, or
    /// else the first that stands under no other.
    #[must_use]
    pub fn root(&self) -> Option<&TreeNode<'a>> {
        self.roots().find(|node| node.place == TreePlace::Root).or_else(|| self.roots().next())
    }

    /// The nodes directly under the one at `index`, with their indexes, in the order of their starts.
    pub fn children(&self, index: usize) -> impl Iterator<Item = (usize, &TreeNode<'a>)> {
        let end = self.get(index).map_or(0, |node| index.saturating_add(node.subtree_len));
        let node = move |at: usize| self.get(at).filter(|_| at < end).map(|node| (at, node));
        std::iter::successors(node(index.saturating_add(1)), move |(at, before)| {
            node(at.saturating_add(before.subtree_len))
        })
    }

    /// How many nodes have this place.
    #[must_use]
    pub fn count(&self, place: TreePlace) -> usize {
        self.nodes.iter().filter(|node| node.place == place).count()
    }
}

/// The span that the one at `index` stands under, if there is one, and why.
fn parent_of(
    index: usize,
    spans: &[RecordedSpan<'_>],
    sides: &BTreeMap<SpanId, Vec<usize>>,
) -> (Option<usize>, TreePlace) {
    let Some(span) = spans.get(index) else { return (None, TreePlace::Root) };
    let others = |id: SpanId| {
        let of_span = sides.get(&id).into_iter().flatten().copied();
        of_span.filter_map(|at| Some((at, spans.get(at)?))).filter(move |(at, _)| *at != index)
    };
    let sent = |(_, other): &(usize, &RecordedSpan<'_>)| other.kind.is_sender();
    if span.kind.is_receiver()
        && let Some((at, _)) = others(span.span_id).find(sent)
    {
        return (Some(at), TreePlace::Child);
    }
    let Some(parent) = span.parent else { return (None, TreePlace::Root) };
    let is_near = |other: &RecordedSpan<'_>| other.origin.resource == span.origin.resource;
    let preferred = others(parent).min_by_key(|(_, other)| {
        // Of equals the first one, which is the first side.
        match (is_near(other), other.kind.is_sender(), other.kind.is_receiver()) {
            (true, false, _) => 0,
            (true, true, _) => 1,
            (false, _, true) => 2,
            (false, _, false) => 3,
        }
    });
    match preferred {
        Some((at, _)) => (Some(at), TreePlace::Child),
        None if parent == span.span_id => (None, TreePlace::Cycle),
        None => (None, TreePlace::Orphan),
    }
}

/// Makes roots, so that every span is below one.
fn break_cycles(above: &mut [(Option<usize>, TreePlace)]) {
    // Which walk came by; what an earlier one has seen leads to a root.
    let mut seen_by: Vec<Option<usize>> = vec![None; above.len()];
    for walk in 0..above.len() {
        let mut at = walk;
        let met = loop {
            match seen_by.get_mut(at) {
                Some(seen @ None) => *seen = Some(walk),
                Some(Some(seen)) => break (*seen == walk).then_some(at),
                None => break None,
            }
            match above.get(at) {
                Some((Some(parent), _)) => at = *parent,
                _ => break None,
            }
        };
        let Some(met) = met else { continue };
        let next =
            |at: &usize| above.get(*at).and_then(|(parent, _)| *parent).filter(|at| *at != met);
        let first = std::iter::successors(Some(met), next).min().unwrap_or(met);
        if let Some(place) = above.get_mut(first) {
            *place = (None, TreePlace::Cycle);
        }
    }
}
