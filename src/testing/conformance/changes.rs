//! The rule about what became of a state since another one.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::strategy::Strategy;

use super::bench::{Breach, difference, done};
use super::rows::Rows;
use super::{Call, HISTORIES, try_rule};
use crate::primitive::private::table_tag;
use crate::primitive::{
    Change, Descriptor, Frozen, Instance, PrimitiveStorageExt, SectionReader, SectionWriter,
};
use crate::registry::PrimitiveRegistry;

/// From every state of a history to every other one, older ones too: what changed is told by the
/// fields that differ and no others; written as changes and read onto the one, it gives the other,
/// whether the one is there or is read below them.
#[track_caller]
pub(super) fn changes_lead_from_one_state_to_another<P: PrimitiveStorageExt + PartialEq>(
    calls: impl Strategy<Value = Call<P>>,
) {
    try_rule(HISTORIES / 2, calls, |history| {
        let states = done::<P>(history)?.states;
        for base in &states {
            Step::new(base, base)?.check_forks()?;
            for state in &states {
                Step::new(base, state)?.check()?;
            }
        }
        Ok(())
    });
}

/// From one state to another.
struct Step<'s, P> {
    descriptor: &'static Descriptor,
    base: &'s P,
    state: &'s P,
    base_rows: Rows,
    state_rows: Rows,
}

impl<'s, P: PrimitiveStorageExt + PartialEq> Step<'s, P> {
    fn new(base: &'s P, state: &'s P) -> Result<Step<'s, P>, Breach> {
        let registry = PrimitiveRegistry::linked().map_err(|error| error.to_string())?;
        let descriptor = registry.get(P::TYPE_ID).ok_or("it is not linked")?;
        let (base_rows, state_rows) = (Rows::of(base)?, Rows::of(state)?);
        Ok(Step { descriptor, base, state, base_rows, state_rows })
    }

    fn check(&self) -> Result<(), Breach> {
        let base = Frozen::new(self.base.clone());
        let state = Frozen::new(self.state.clone());
        self.check_told(self.descriptor.changes(&base, &state))?;
        let mut changes = Rows::default();
        let saved = self
            .descriptor
            .save_changes(&base, &state, &mut SectionWriter::new(&mut changes))
            .map_err(|error| format!("what changed cannot be written: {error}"))?;
        if !changes.0.is_empty() && (!saved || self.base_rows == self.state_rows) {
            return Err("what changed is written, and it is nothing, or not all".to_owned());
        }
        if saved {
            self.check_loaded(&changes)?;
            self.check_cut(&changes)?;
        }
        Ok(())
    }

    /// A state that goes its own way begins as what it comes of.
    fn check_forks(&self) -> Result<(), Breach> {
        let fork = self.descriptor.fork(&Instance::new(self.base.clone()));
        self.equal(&fork, "forked")?;
        let thawed = self.descriptor.thaw(&Frozen::new(self.base.clone()));
        self.equal(&thawed, "forked from a view")
    }

    /// What is told is of the fields whose rows differ.
    fn check_told<'a>(&self, told: impl Iterator<Item = Change<'a>>) -> Result<(), Breach> {
        let fields: BTreeSet<&str> = told.map(|change| change.field()).collect();
        let differ = self.base_rows.tables_that_differ(&self.state_rows);
        if differ.is_empty() != fields.is_empty() {
            let fields: Vec<_> = fields.into_iter().map(|field| format!("`{field}`")).collect();
            let differ: Vec<_> = differ.into_iter().map(Rows::field_of::<P>).collect();
            return Err(format!(
                "changes are told of {}, and what differs is {}",
                or_nothing(&fields),
                or_nothing(&differ)
            ));
        }
        // By hand a primitive need not say what its fields are called.
        if fields.contains("") {
            return Ok(());
        }
        let tags: BTreeSet<u32> = fields.iter().map(|field| table_tag(field)).collect();
        if let Some(silent) = differ.iter().find(|table| !tags.contains(table)) {
            let field = Rows::field_of::<P>(*silent);
            return Err(format!("{field} differs, and no change of it is told"));
        }
        match fields.iter().find(|field| !differ.contains(&table_tag(field))) {
            Some(field) => Err(format!("a change of `{field}` is told, which does not differ")),
            None => Ok(()),
        }
    }

    fn check_loaded(&self, changes: &Rows) -> Result<(), Breach> {
        let instance = Instance::new(self.base.clone());
        let changes = changes.blocks();
        let loaded = self
            .descriptor
            .load_changes(&instance, &mut SectionReader::new(&changes.tables()))
            .map_err(|reason| format!("its own changes cannot be loaded: {reason}"))?;
        self.equal(&loaded, "written as changes and loaded onto what it came of")?;
        if let Some(base) = instance.get::<P>()
            && let Some(difference) = difference(self.base, base)?
        {
            return Err(format!("what changes were loaded onto is changed by it, {difference}"));
        }
        // What has no rows is no base: who comes of it is written whole.
        if self.base_rows.0.is_empty() {
            return Ok(());
        }
        let base = self.base_rows.blocks();
        let loaded = self
            .descriptor
            .load(&mut SectionReader::layered(&[&base.tables(), &changes.tables()]))
            .map_err(|reason| {
                format!("its own changes cannot be read above their base: {reason}")
            })?;
        self.equal(&loaded, "written as changes and read above what it came of")
    }

    fn equal(&self, loaded: &Instance, when: &str) -> Result<(), Breach> {
        match loaded.get::<P>().map(|loaded| difference(self.state, loaded)).transpose()? {
            Some(None) => Ok(()),
            Some(Some(difference)) => Err(format!("{when}, {difference}")),
            None => Err(format!("{when}, it is another primitive's")),
        }
    }

    /// Changes that end too early, and changes to another base, are no panic.
    fn check_cut(&self, changes: &Rows) -> Result<(), Breach> {
        let load = |base: &P, changes: &Rows| {
            let instance = Instance::new(base.clone());
            let changes = changes.blocks();
            let load = || {
                let tables = changes.tables();
                self.descriptor.load_changes(&instance, &mut SectionReader::new(&tables)).is_ok()
            };
            catch_unwind(AssertUnwindSafe(load)).is_ok()
        };
        for (at, (table, whole)) in changes.0.iter().enumerate() {
            let last = whole.last().map_or(0, Vec::len);
            let mut cut = changes.clone();
            if let Some(row) = cut.0.get_mut(at).and_then(|(_, rows)| rows.last_mut()) {
                row.truncate(last / 2);
            }
            if !load(self.base, &cut) {
                let field = Rows::field_of::<P>(*table);
                return Err(format!("loading panicked when the last change of {field} was cut"));
            }
        }
        if load(&P::default(), changes) && load(self.state, changes) {
            Ok(())
        } else {
            Err("loading panicked when changes were loaded onto what they are not for".to_owned())
        }
    }
}

fn or_nothing(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
