//! The primitives together.

use freehold::prelude::*;
use freehold::primitives::trace::{Batch, Origin, Span, SpanId, TraceId};
use freehold::primitives::{
    EventLog, Json, JsonStore, KvStore, Metric, Payload, RunIndex, StateCell, TraceStore,
    VectorStore,
};

use crate::machine::{Machine, state};
use crate::run::{STATUSES, lead_to};

fn span(number: u64) -> Batch {
    let (trace, id) = (TraceId::new([7; 16]).unwrap(), SpanId::new(number.to_be_bytes()).unwrap());
    Batch { origin: Origin::default(), spans: vec![Span::new(trace, id, "step", number)] }
}

#[test]
fn a_transaction_given_up_leaves_no_trace_in_any_of_them() {
    let mut machine = Machine::new();
    let change = |tx: &mut Transaction<'_>, round: u64| {
        for n in 0..250 {
            tx.on::<KvStore>().put(format!("{round}/{n}").as_bytes(), b"value")?;
            tx.on::<JsonStore>().put(&format!("{round}/{n}"), &Json::null())?;
            tx.on::<EventLog>().append("stream", "step", Payload::bytes([]))?;
            tx.on::<StateCell>().set("cell", n.to_string().as_bytes())?;
            tx.on::<TraceStore>().record(span(round * 1000 + n))?;
            let id = format!("{round}/{n}");
            tx.on::<VectorStore>().insert("plane", &id, &[n as f32, round as f32], None)?;
            let run = RunId(round * 1000 + n);
            lead_to(&mut tx.on::<RunIndex>(), run, STATUSES[n as usize % STATUSES.len()])?;
        }
        Ok(())
    };
    machine.commit(|tx| {
        tx.on::<VectorStore>().create_collection("plane", 2, Metric::L2)?;
        change(tx, 1)
    });
    let before = state(&machine.db);

    let given_up = machine.db.transaction(|tx| -> Result<()> {
        change(tx, 2)?;
        Err(Error::abort("given up"))
    });
    assert!(matches!(given_up, Err(Error::Aborted(_))));
    assert_eq!(state(&machine.db), before);

    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        machine.db.transaction(|tx| -> Result<()> {
            change(tx, 2)?;
            panic!("the program's own mistake");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(state(&machine.db), before);

    machine.crash();
    assert_eq!(state(&machine.db), before);
    machine.commit(|tx| change(tx, 2));
}

#[test]
fn each_run_has_its_own_instances() {
    let mut machine = Machine::new();
    let (one, two) = machine.commit(|tx| {
        let (one, two) = (tx.create_run("one")?, tx.create_run("two")?);
        for run in [one, two] {
            let mut run = tx.run(run)?;
            run.on::<KvStore>().put(b"key", b"value")?;
            run.on::<EventLog>().append("steps", "begun", Payload::bytes([]))?;
            run.on::<StateCell>().init("cell", b"value")?;
            run.on::<JsonStore>().put("document", &Json::from("value"))?;
            run.on::<TraceStore>().record(span(1))?;
            run.on::<VectorStore>().create_collection("plane", 2, Metric::L2)?;
            run.on::<VectorStore>().insert("plane", "one", &[1.0, 2.0], None)?;
        }
        tx.run(two)?.on::<EventLog>().append("steps", "ended", Payload::bytes([]))?;
        Ok((one, two))
    });
    let view = machine.db.view();
    assert!(view.on::<KvStore>().is_empty() && view.on::<EventLog>().is_empty());
    assert_eq!(view.run(one).unwrap().on::<EventLog>().stream_len("steps"), 1);
    assert_eq!(view.run(two).unwrap().on::<EventLog>().stream_len("steps"), 2);
    let two = view.run(two).unwrap();
    assert_eq!((two.on::<StateCell>().len(), two.on::<JsonStore>().len()), (1, 1));
    assert_eq!(two.on::<TraceStore>().iter().count(), 1);
    assert_eq!(
        two.on::<VectorStore>().search("plane", &[1.0, 1.0], 3, Metric::L2).unwrap().len(),
        1
    );
    assert!(view.on::<JsonStore>().is_empty() && view.on::<TraceStore>().is_empty());
}
