//! `grow DIRECTORY` adds to the graph in a directory, and says what is in it.

use freehold::prelude::*;
use graph::Graph;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: grow DIRECTORY")?;
    let db = Database::open(&directory)?;
    {
        let view = db.view();
        let graph = view.on::<Graph>();
        println!("found {} nodes and {} edges", graph.node_count(), graph.edge_count());
    }

    // A new node behind the last one, and a shortcut to it from the first one.
    let (first, last) = db.transaction(|tx| {
        let mut graph = tx.on::<Graph>();
        let before: Vec<_> = graph.nodes().map(|(node, _)| node).collect();
        let node = graph.add_node(&format!("node {}", before.len()))?;
        if let Some(&last) = before.last() {
            graph.add_edge(last, node, 1, "next")?;
            graph.reweigh(last, node, 2)?;
        }
        let first = before.first().copied().unwrap_or(node);
        if before.len() % 3 == 2 {
            graph.add_edge(first, node, 3, "shortcut")?;
        }
        Ok((first, node))
    })?;

    let view = db.view();
    let graph = view.on::<Graph>();
    println!("now {} nodes and {} edges", graph.node_count(), graph.edge_count());
    for (node, label) in graph.nodes() {
        let to: Vec<_> = graph
            .neighbours(node)
            .map(|(to, weight)| {
                format!("{to} ({weight} {:?})", graph.edge_label(node, to).unwrap_or_default())
            })
            .collect();
        println!("  {node} {label}: {}", to.join(", "));
    }
    if let Some(path) = graph.shortest_path(first, last) {
        println!("from {first} to {last}: {:?}, weight {}", path.nodes, path.weight);
    }
    Ok(())
}
