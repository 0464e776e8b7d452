//! Real documents through all their versions.

use freehold::primitives::{Json, JsonStore};
use freehold::testing::Random;

use super::{commit, lines};
use crate::machine::Machine;

#[test]
fn every_version_of_a_real_document_is_reached_by_patch_and_by_merge_patch() {
    let seed = Random::seed_from_env(0x6a73);
    for (part, file) in (0..).zip(["jaeger-ui-package", "zipkin-lens-package"]) {
        let mut random = Random::new(seed).part(part);
        let mut machine = Machine::new();
        let (mut operations, mut crashes, mut closes) = (0, 0, 0);
        let revisions = lines(&format!("json-history/{file}.jsonl"));
        for revision in &revisions {
            let json = |member: &str| Json::try_from(&revision[member]).unwrap();
            let document = json("doc");
            commit(&machine, |tx| {
                let mut documents = tx.on::<JsonStore>();
                if revision["rev"] == 0 {
                    documents.create("patched", &document)?;
                    return documents.create("merged", &document);
                }
                operations += revision["patch"].as_array().unwrap().len();
                documents.patch("patched", &json("patch"))?;
                documents.merge("merged", &json("merge_patch"))
            });
            let check = |machine: &Machine| {
                let view = machine.db.view();
                for name in ["patched", "merged"] {
                    let found = view.on::<JsonStore>().get(name);
                    assert_eq!(found, Some(&document), "{file}, {name}, {}", revision["rev"]);
                }
            };
            check(&machine);
            if random.one_in(8) {
                if random.one_in(2) {
                    machine.crash();
                    crashes += 1;
                } else {
                    machine.close();
                    closes += 1;
                }
                check(&machine);
            }
        }
        let versions = revisions.len();
        assert!(versions >= 65 && crashes > 0 && closes > 0);
        println!(
            "json: {file}: {versions} versions by {operations} patch operations and by {} merge \
             patches, {crashes} crashes and {closes} closes in between",
            versions - 1
        );
    }
}
