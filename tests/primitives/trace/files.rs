//! Real traces: every file of `tests/data/otel` imported, its trees built, exported as OTLP and read
//! back.

use std::path::Path;

use freehold::primitives::TraceStore;
use freehold::primitives::trace::{
    Import, RecordedSpan, SpanQuery, TraceFormatError, TreePlace, jaeger, otel_js, otlp, zipkin,
};

use crate::machine::Machine;

type Read = fn(&str) -> Result<Import, TraceFormatError>;

/// What the files hold, counted by a few lines of Python on the raw JSON that know nothing of this
/// library: spans in the file; spans that differ in (trace ID, span ID, kind, resource); distinct
/// trace IDs; spans without a parent; spans whose parent's ID is not in the trace; spans that share
/// (trace ID, span ID) with an earlier one.
const FILES: [(&str, Read, [usize; 6]); 28] = [
    ("jaeger-model/default.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/example_trace.json", otlp::parse, [5, 5, 1, 5, 0, 0]),
    ("jaeger-model/log_tags_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/multi_index_trace.json", otlp::parse, [2, 2, 1, 2, 0, 0]),
    ("jaeger-model/multiple1_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/multiple3_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/multispottag_maxdur_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/multispottag_opname_maxdur_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/opname_dur_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/opname_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/scope_attributes_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/span_tags_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/tags_escaped_operator_trace_1.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/tags_maxdur_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/tags_opname_maxdur_trace.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-model/tags_wildcard_regex_1.json", otlp::parse, [1, 1, 1, 1, 0, 0]),
    ("jaeger-ui/genaiTestTrace.json", jaeger::parse, [57, 57, 1, 1, 0, 0]),
    ("jaeger-ui/graph-testTrace.json", jaeger::parse, [11, 11, 1, 1, 0, 0]),
    ("jaeger-ui/spansAmongEachOther.json", jaeger::parse, [12, 12, 1, 1, 0, 0]),
    ("openinference/vercel-v6-all-spans.json", otel_js::parse, [10, 10, 10, 10, 0, 0]),
    ("otlp/otel_traces_01.json", otlp::parse, [4, 4, 2, 0, 4, 0]),
    ("otlp/otlp2jaeger-in.json", otlp::parse, [2, 1, 1, 0, 1, 0]),
    ("otlp/trace.json", otlp::parse, [1, 1, 1, 0, 1, 0]),
    ("zipkin/ascend.json", zipkin::parse, [8, 8, 1, 1, 0, 2]),
    ("zipkin/messaging-kafka.json", zipkin::parse, [28, 28, 1, 1, 0, 0]),
    ("zipkin/simple-db-p6.json", zipkin::parse, [5, 5, 1, 1, 0, 0]),
    ("zipkin/skew.json", zipkin::parse, [4, 4, 1, 1, 0, 1]),
    ("zipkin/smartthings-mobile-web-install.json", zipkin::parse, [1041, 1041, 1, 1, 0, 378]),
];

/// What is no trace.
const OTHERS: [&str; 2] = ["otlp/events.json", "otlp/logs.json"];

#[expect(clippy::disallowed_methods, reason = "a file of the test's data, not of a database")]
fn read(name: &str) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/otel");
    std::fs::read_to_string(data.join(name)).unwrap()
}

fn record(machine: &mut Machine, import: &Import) {
    machine.commit(|tx| {
        for batch in &import.batches {
            tx.on::<TraceStore>().record(batch.clone())?;
        }
        Ok(())
    });
}

fn spans(traces: &TraceStore) -> Vec<RecordedSpan<'_>> {
    traces.iter().collect()
}

#[test]
fn every_file_is_imported_and_its_export_read_back_equal() {
    println!("in file  held  traces  roots  orphans  sides  early  deepest  file");
    let mut total = [0; 6];
    for (name, parse, expected) in FILES {
        let import = parse(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let unknown: &[&str] =
            if name == "jaeger-ui/genaiTestTrace.json" { &["_comment"] } else { &[] };
        assert_eq!(import.unknown, unknown, "{name}");
        let mut machine = Machine::new();
        record(&mut machine, &import);
        let view = machine.db.view();
        let traces = view.on::<TraceStore>();

        let trees: Vec<_> = traces.trace_ids().map(|trace_id| traces.tree(trace_id)).collect();
        let nodes = || trees.iter().flat_map(|tree| tree.iter());
        let count = |place: TreePlace| trees.iter().map(|tree| tree.count(place)).sum::<usize>();
        let sides = traces.iter().filter(|span| span.key.side > 0).count();
        let found = [
            import.span_count(),
            traces.len(),
            trees.len(),
            count(TreePlace::Root),
            count(TreePlace::Orphan),
            sides,
        ];
        let early = nodes().filter(|node| node.early > 0).count();
        let deepest = nodes().map(|node| node.depth).max().unwrap();
        let [in_file, held, ids, roots, orphans, sides] = found;
        println!(
            "{in_file:7}  {held:4}  {ids:6}  {roots:5}  {orphans:7}  {sides:5}  {early:5}  {deepest:7}  {name}"
        );
        assert_eq!(found, expected, "{name}");
        assert_eq!(nodes().count(), held, "{name}: every span is a node of a tree");
        assert_eq!(count(TreePlace::Cycle), 0, "{name}");
        let listed: usize = traces.traces().map(|trace| trace.spans).sum();
        assert_eq!(listed, held, "{name}");
        for (sum, count) in total.iter_mut().zip(found) {
            *sum += count;
        }

        let exported = otlp::export(traces.iter());
        let import = otlp::parse(&exported).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(import.unknown, [""; 0], "{name}");
        let mut other = Machine::new();
        record(&mut other, &import);
        let other = other.db.view();
        let other = other.on::<TraceStore>();
        assert_eq!(spans(other), spans(traces), "{name}");
        assert_eq!(otlp::export(other.iter()), exported, "{name}");
    }
    let [in_file, held, traces, roots, orphans, sides] = total;
    println!(
        "{in_file:7}  {held:4}  {traces:6}  {roots:5}  {orphans:7}  {sides:5}                  all"
    );
    assert_eq!(total, [1204, 1203, 38, 39, 6, 381]);
}

#[test]
fn no_file_is_left_out() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/otel");
    #[expect(clippy::disallowed_methods, reason = "the test's data, not a database")]
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let mut found: Vec<String> = names(&data)
        .iter()
        .filter(|folder| *folder != "README.md")
        .flat_map(|folder| {
            names(&data.join(folder)).into_iter().map(move |name| format!("{folder}/{name}"))
        })
        .collect();
    found.sort();
    let mut known: Vec<_> = FILES.iter().map(|(name, ..)| *name).chain(OTHERS).collect();
    known.sort_unstable();
    assert_eq!(found, known);
}

#[test]
fn what_is_no_trace_is_refused() {
    for name in OTHERS {
        let error = otlp::parse(&read(name)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the text: has resourceLogs, expected resourceSpans",
            "{name}"
        );
    }
    // Each format by the reader of another.
    let other = |parse: Read, name| parse(&read(name)).unwrap_err().to_string();
    assert_eq!(
        other(otlp::parse, "zipkin/skew.json"),
        "the text: has no object, expected resourceSpans"
    );
    assert_eq!(
        other(zipkin::parse, "otlp/trace.json"),
        "the text: has resourceSpans, expected a list of spans"
    );
    assert_eq!(
        other(jaeger::parse, "otlp/trace.json"),
        "the text: has resourceSpans, expected data, spans or spanID"
    );
    assert_eq!(
        other(zipkin::parse, "openinference/vercel-v6-all-spans.json"),
        "[0].traceId: is null, expected it to be there"
    );
    assert_eq!(
        other(otel_js::parse, "zipkin/skew.json"),
        "[0].spanContext: is null, expected it to be there"
    );
}

#[test]
fn a_server_whose_clock_is_behind_stands_under_its_client() {
    let mut traces = TraceStore::default();
    for batch in zipkin::parse(&read("zipkin/skew.json")).unwrap().batches {
        traces.record(batch).unwrap();
    }
    let tree = traces.tree(traces.trace_ids().next().unwrap());
    let seen: Vec<_> = tree
        .iter()
        .map(|node| {
            let service = node.span.origin.service_name().unwrap_or_default();
            (node.depth, service, &*node.span.name, node.early)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (0, "servicea", "get", 0),
            (1, "servicea", "post", 0),
            (2, "serviceb", "post", 65_441_000),
            (3, "serviceb", "async", 0),
        ]
    );
}

#[test]
fn an_agents_trace_is_read_by_what_it_did() {
    let mut traces = TraceStore::default();
    for batch in jaeger::parse(&read("jaeger-ui/genaiTestTrace.json")).unwrap().batches {
        traces.record(batch).unwrap();
    }
    let chat = SpanQuery::new().attribute("gen_ai.operation.name", "chat");
    let raw = read("jaeger-ui/genaiTestTrace.json");
    assert_eq!(traces.find(&chat).count(), raw.matches("\"value\": \"chat\"").count());
    let durations: Vec<u64> = traces.find(&chat).filter_map(|span| span.duration()).collect();
    let slow = |limit: u64| durations.iter().filter(|duration| **duration >= limit).count();
    let slowest = *durations.iter().max().unwrap();
    let middle = slowest / 2;
    for limit in [1, middle, slowest, slowest + 1] {
        let found = traces.find(&chat.clone().duration(limit..)).count();
        assert_eq!(found, slow(limit), "{limit}");
    }
    assert!(durations.len() > 1 && slow(slowest) > 0, "{durations:?}");
}
