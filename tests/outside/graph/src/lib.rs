//! A durable directed graph: nodes with a label, edges with a weight.
//!
//! ```
//! use freehold::prelude::*;
//! use graph::Graph;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::env::temp_dir().join(format!("graph-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! let db = Database::open(&directory)?;
//! let (a, b) = db.transaction(|tx| {
//!     let mut graph = tx.on::<Graph>();
//!     let a = graph.add_node("a")?;
//!     let b = graph.add_node("b")?;
//!     graph.add_edge(a, b, 3, "is before")?;
//!     Ok((a, b))
//! })?;
//! let view = db.view();
//! let path = view.on::<Graph>().shortest_path(a, b).unwrap();
//! assert_eq!((path.nodes, path.weight), (vec![a, b], 3));
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

pub mod limiter;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;

use freehold::prelude::*;

/// The number of a node. It is given by [`Graph::add_node`] and never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Stored)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A directed graph: nodes with a label, edges with a weight. At most one edge leads from a node
/// to another; an edge may lead from a node to itself.
#[primitive(id = 0x90, wal = 0x90..=0x9f, section_version = 2)]
#[derive(Clone, Default, PartialEq)]
pub struct Graph {
    nodes: OrdMap<NodeId, String>,
    /// From, to.
    // Was `edges: OrdMap<(NodeId, NodeId), u32>`.
    #[field(from = |edges: OrdMap<(NodeId, NodeId), u32>| {
        edges.iter().map(|(&ends, &weight)| (ends, Edge { weight, label: String::new() })).collect()
    })]
    links: OrdMap<(NodeId, NodeId), Edge>,
    next_node: u64,
    /// To, from. Derived.
    #[index(rebuild = |graph| graph.links.keys().map(|&(from, to)| (to, from)).collect())]
    incoming: OrdSet<(NodeId, NodeId)>,
}

/// What an edge has.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
struct Edge {
    weight: u32,
    label: String,
}

/// A way through the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The nodes, both ends among them.
    pub nodes: Vec<NodeId>,
    /// The sum of the edges' weights.
    pub weight: u64,
}

/// Why an operation on the graph is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphError {
    /// There is no such node.
    NoNode(NodeId),
    /// There is no such edge.
    NoEdge(NodeId, NodeId),
    /// There is such an edge already.
    DuplicateEdge(NodeId, NodeId),
    /// All numbers of nodes are used up.
    Full,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GraphError::NoNode(node) => write!(f, "there is no node {node}"),
            GraphError::NoEdge(from, to) => write!(f, "there is no edge from {from} to {to}"),
            GraphError::DuplicateEdge(from, to) => {
                write!(f, "there is an edge from {from} to {to} already")
            }
            GraphError::Full => f.write_str("all numbers of nodes are used up"),
        }
    }
}

impl std::error::Error for GraphError {}

#[operations]
impl Graph {
    /// Adds a node and returns its number.
    #[wal(0x90)]
    pub fn add_node(&mut self, label: &str) -> Result<NodeId, GraphError> {
        let node = NodeId(self.next_node);
        self.next_node = self.next_node.checked_add(1).ok_or(GraphError::Full)?;
        self.nodes.insert(node, label.to_owned());
        Ok(node)
    }

    /// Removes a node with all its edges and returns its label.
    #[wal(0x91)]
    pub fn remove_node(&mut self, node: NodeId) -> Result<String, GraphError> {
        let label = self.nodes.remove(&node).ok_or(GraphError::NoNode(node))?;
        let out: Vec<_> = self.neighbours(node).map(|(to, _)| (node, to)).collect();
        let into: Vec<_> = self.predecessors(node).map(|(from, _)| (from, node)).collect();
        for (from, to) in out.into_iter().chain(into) {
            self.links.remove(&(from, to));
            self.incoming.remove(&(to, from));
        }
        Ok(label)
    }

    /// Adds an edge between two nodes that are there.
    #[wal(0x92)]
    pub fn add_edge(
        &mut self,
        from: NodeId,
        to: NodeId,
        weight: u32,
        label: &str,
    ) -> Result<(), GraphError> {
        for node in [from, to] {
            if !self.nodes.contains_key(&node) {
                return Err(GraphError::NoNode(node));
            }
        }
        if self.links.contains_key(&(from, to)) {
            return Err(GraphError::DuplicateEdge(from, to));
        }
        self.links.insert((from, to), Edge { weight, label: label.to_owned() });
        self.incoming.insert((to, from));
        Ok(())
    }

    /// As it was before edges had a label.
    #[wal(0x92, version = 1)]
    fn add_edge_unlabelled(
        &mut self,
        from: NodeId,
        to: NodeId,
        weight: u32,
    ) -> Result<(), GraphError> {
        self.add_edge(from, to, weight, "")
    }

    /// Removes an edge and returns its weight.
    #[wal(0x93, replay_only)]
    pub fn remove_edge(&mut self, from: NodeId, to: NodeId) -> Result<u32, GraphError> {
        let edge = self.links.remove(&(from, to)).ok_or(GraphError::NoEdge(from, to))?;
        self.incoming.remove(&(to, from));
        Ok(edge.weight)
    }

    /// Gives an edge another weight and returns the one it had.
    #[wal(0x94, name = "set_weight")]
    pub fn reweigh(&mut self, from: NodeId, to: NodeId, weight: u32) -> Result<u32, GraphError> {
        let edge = self.links.get_mut(&(from, to)).ok_or(GraphError::NoEdge(from, to))?;
        Ok(std::mem::replace(&mut edge.weight, weight))
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// How many edges there are.
    pub fn edge_count(&self) -> usize {
        self.links.len()
    }

    /// A node's label.
    pub fn label(&self, node: NodeId) -> Option<&str> {
        self.nodes.get(&node).map(String::as_str)
    }

    /// All nodes with their labels, by number.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.nodes.iter().map(|(&node, label)| (node, label.as_str()))
    }

    /// An edge's weight.
    pub fn weight(&self, from: NodeId, to: NodeId) -> Option<u32> {
        self.links.get(&(from, to)).map(|edge| edge.weight)
    }

    /// An edge's label; one that was added before edges had labels has the empty one.
    pub fn edge_label(&self, from: NodeId, to: NodeId) -> Option<&str> {
        self.links.get(&(from, to)).map(|edge| edge.label.as_str())
    }

    /// Where the edges from `node` lead, with their weights, by number.
    pub fn neighbours(&self, node: NodeId) -> impl Iterator<Item = (NodeId, u32)> {
        self.links
            .range((node, NodeId(0))..=(node, NodeId(u64::MAX)))
            .map(|(&(_, to), edge)| (to, edge.weight))
    }

    /// Where the edges to `node` come from, with their weights, by number.
    pub fn predecessors(&self, node: NodeId) -> impl Iterator<Item = (NodeId, u32)> {
        self.incoming
            .range((node, NodeId(0))..=(node, NodeId(u64::MAX)))
            .filter_map(|&(to, from)| Some((from, self.weight(from, to)?)))
    }

    /// The path of the least weight, if there is any (Dijkstra). Among equals, any one.
    pub fn shortest_path(&self, from: NodeId, to: NodeId) -> Option<Path> {
        if !self.nodes.contains_key(&from) {
            return None;
        }
        let mut best = BTreeMap::from([(from, (0_u64, from))]);
        let mut open = BinaryHeap::from([Reverse((0_u64, from))]);
        while let Some(Reverse((weight, node))) = open.pop() {
            if node == to {
                let mut nodes = vec![to];
                let mut at = to;
                while at != from {
                    at = best[&at].1;
                    nodes.push(at);
                }
                nodes.reverse();
                return Some(Path { nodes, weight });
            }
            if best[&node].0 < weight {
                continue;
            }
            for (next, step) in self.neighbours(node) {
                let weight = weight + u64::from(step);
                if best.get(&next).is_none_or(|&(so_far, _)| weight < so_far) {
                    best.insert(next, (weight, node));
                    open.push(Reverse((weight, next)));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    freehold::conformance!(Graph, {
        let node = || (0..4_u64).prop_map(NodeId);
        prop_oneof![
            4 => "[ab]".prop_map(|label| call!(Graph, add_node(&label))),
            1 => node().prop_map(|node| call!(Graph, remove_node(node))),
            4 => (node(), node(), 0..4_u32, "[xy]?").prop_map(|(from, to, weight, label)| {
                call!(Graph, add_edge(from, to, weight, &label))
            }),
            1 => (node(), node(), 0..4_u32)
                .prop_map(|(from, to, weight)| call!(Graph, reweigh(from, to, weight))),
        ]
    });

    fn graph_of(nodes: usize, edges: &[(u64, u64, u32)]) -> Graph {
        let mut graph = Graph::default();
        for node in 0..nodes {
            graph.add_node(&node.to_string()).unwrap();
        }
        for &(from, to, weight) in edges {
            graph.add_edge(NodeId(from), NodeId(to), weight, "").unwrap();
        }
        graph
    }

    #[test]
    fn the_shortest_path_is_not_the_one_of_the_fewest_edges() {
        let graph = graph_of(4, &[(0, 3, 9), (0, 1, 2), (1, 2, 2), (2, 3, 2), (1, 3, 7)]);
        let path = graph.shortest_path(NodeId(0), NodeId(3)).unwrap();
        assert_eq!(path, Path { nodes: [0, 1, 2, 3].map(NodeId).to_vec(), weight: 6 });
        assert_eq!(graph.shortest_path(NodeId(3), NodeId(0)), None);
        assert_eq!(graph.shortest_path(NodeId(9), NodeId(9)), None);
    }

    #[test]
    fn a_removed_node_takes_its_edges_with_it() {
        let mut graph = graph_of(3, &[(0, 1, 1), (1, 2, 1), (1, 1, 1), (2, 0, 1)]);
        assert_eq!(graph.remove_node(NodeId(1)).unwrap(), "1");
        assert_eq!((graph.node_count(), graph.edge_count()), (2, 1));
        assert_eq!(graph.predecessors(NodeId(2)).count(), 0);
        assert_eq!(graph.predecessors(NodeId(0)).collect::<Vec<_>>(), [(NodeId(2), 1)]);
    }

    #[test]
    fn edges_of_missing_nodes_and_second_edges_are_refused() {
        let mut graph = graph_of(2, &[(0, 1, 1)]);
        let (a, b, none) = (NodeId(0), NodeId(1), NodeId(2));
        assert_eq!(graph.add_edge(a, none, 1, ""), Err(GraphError::NoNode(none)));
        assert_eq!(graph.add_edge(none, a, 1, ""), Err(GraphError::NoNode(none)));
        assert_eq!(graph.add_edge(a, b, 2, ""), Err(GraphError::DuplicateEdge(a, b)));
        assert_eq!(graph.weight(a, b), Some(1));
    }
}
