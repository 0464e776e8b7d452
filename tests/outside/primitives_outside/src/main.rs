//! `primitives_outside DIRECTORY` writes with each of the primitives, opens again and reads.

use freehold::prelude::*;
use primitives_outside::event::{EventLog, Payload};
use primitives_outside::json::JsonStore;
use primitives_outside::kv::KvStore;
use primitives_outside::run::{RunIndex, RunOutcome};
use primitives_outside::state::{Expected, StateCell};
use primitives_outside::trace::{TraceStore, otlp, zipkin};
use primitives_outside::value::Json;
use primitives_outside::vector::{Method, Metric, Search, VectorStore};

const SPANS: &str = r#"[{"traceId": "1", "id": "2", "parentId": "3", "tags": {"k": "v"}}]"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).ok_or("usage: primitives_outside DIRECTORY")?;
    let db = Database::open(&directory)?;
    let import = zipkin::parse(SPANS)?;
    db.transaction(|tx| {
        for batch in &import.batches {
            tx.on::<TraceStore>().record(batch.clone())?;
        }
        tx.on::<KvStore>().put(b"key", b"value")?;
        tx.on::<JsonStore>().put("document", &Json::from("one"))?;
        tx.on::<JsonStore>().set("document", "", &Json::from("two"))?;
        tx.on::<EventLog>().append("stream", "type", Payload::bytes("payload"))?;
        tx.on::<StateCell>().set("cell", b"one")?;
        tx.on::<StateCell>().transition("cell", Expected::value("one"), b"two")?;
        let mut vectors = tx.on::<VectorStore>();
        vectors.remove_collection("plane")?;
        vectors.create_collection("plane", 2, Metric::L2)?;
        vectors.insert("plane", "east", &[1.0, 0.0], None)?;
        vectors.insert("plane", "north", &[0.0, 1.0], None)?;
        let run = tx.create_run(&format!("run {}", tx.lsn()))?;
        let mut index = tx.on::<RunIndex>();
        index.create(run, "run")?;
        index.begin(run)?;
        index.end(run, RunOutcome::Completed)
    })?;
    db.close()?;

    let db = Database::open(&directory)?;
    let view = db.view();
    assert_eq!(view.on::<KvStore>().get("key").as_deref(), Some(&b"value"[..]));
    assert_eq!(view.on::<JsonStore>().at("document", "")?.as_str(), Some("two"));
    assert_eq!(view.on::<EventLog>().tail("stream", 1).count(), 1);
    assert_eq!(view.on::<StateCell>().get("cell").map(|cell| &cell.value()[..]), Some(&b"two"[..]));
    assert!(view.on::<RunIndex>().counts().completed > 0);
    let search = Search::new(&[0.9, 0.2], 1).method(Method::Graph);
    assert_eq!(view.on::<VectorStore>().find("plane", &search)?[0].id(), "east");
    let exported = otlp::export(view.on::<TraceStore>().iter());
    assert_eq!(otlp::parse(&exported)?.batches, import.batches);
    let count = PrimitiveRegistry::linked()?.list().len();
    println!("{count} primitives from outside");
    Ok(())
}
