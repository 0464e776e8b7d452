//! `StateCell`: named cells that change by compare-and-set, along declared moves if need be.
//!
//! Invariants:
//!
//! 1. Every change is one logged operation: 0x40 `init`, 0x41 `set`, 0x42 `transition`,
//!    0x43 `delete`, 0x44 `init_bound`, 0x45 `bind`, 0x46 `unbind`, 0x47 `declare`,
//!    0x48 `undeclare`.
//! 2. A cell's version is 1 when it is made and grows by one with each change of its value, also
//!    when the new value equals the old. So equal versions mean that nothing happened in between.
//!    That holds across a deletion too: once a cell was deleted, a new one begins above every
//!    version that a deleted cell has had, which is `deleted_version`.
//! 3. A cell's time and LSN are those of the transaction that changed its value last.
//! 4. A rejected operation leaves everything as it was, versions too.
//! 5. A cell that is bound to a machine is always in a state that the machine, as it is declared
//!    now, knows. Whatever would break that is rejected: a move that is not allowed, a binding, a
//!    declaration that forgets a state in which a bound cell is, the removal of a machine in use.
//! 6. `bound` holds exactly the pairs (machine, cell) that `cells` says. It is derived, stands in no
//!    snapshot, and every operation keeps it.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::{Expected, StateCell, StateError};
//!
//! # fn main() -> freehold::Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! let db = Database::open(dir.path())?;
//! db.transaction(|tx| tx.on::<StateCell>().init("order/7", b"placed"))?;
//!
//! // Two workers want the order; the second one finds it changed.
//! let claim = |by: &'static [u8]| {
//!     db.transaction(|tx| {
//!         tx.on::<StateCell>().transition("order/7", Expected::value(b"placed"), by)
//!     })
//! };
//! assert_eq!(claim(b"packed by ann")?, 2);
//! let refused = claim(b"packed by bob").unwrap_err();
//! assert_eq!(
//!     refused.rejected::<StateError>(),
//!     Some(&StateError::OtherValue { name: "order/7".into(), version: 2 }),
//! );
//!
//! let view = db.view();
//! let order = view.on::<StateCell>().get("order/7").unwrap();
//! assert_eq!(&order.value()[..], b"packed by ann");
//! assert_eq!(order.version(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Machines
//!
//! A [`StateMachine`] says which moves are allowed. It is declared under a name; a cell that is
//! bound to it cannot be changed in any other way.
//!
//! ```
//! use freehold::prelude::*;
//! use freehold::primitives::{Expected, StateCell, StateMachine};
//!
//! # fn main() -> freehold::Result<()> {
//! # let db = Database::in_memory()?;
//! let order = StateMachine::new()
//!     .initial("placed")
//!     .allow("placed", ["packed", "cancelled"])
//!     .allow("packed", ["shipped"]);
//! db.transaction(|tx| {
//!     let mut cells = tx.on::<StateCell>();
//!     cells.declare("order", order)?; // the same again, at every start, does nothing
//!     cells.init_bound("order/7", "order", "placed")
//! })?;
//! let refused = db.transaction(|tx| tx.on::<StateCell>().set("order/7", b"shipped"));
//! assert_eq!(
//!     refused.unwrap_err().to_string(),
//!     "rejected: cell order/7: placed to shipped is no move of machine order, \
//!      expected cancelled, packed",
//! );
//! db.transaction(|tx| tx.on::<StateCell>().transition("order/7", Expected::Any, b"packed"))?;
//! # Ok(())
//! # }
//! ```
//!
//! A declaration under a name that is taken replaces the machine. It is rejected if a bound cell is
//! in a state that the new one does not know: nothing is left stranded, and nothing is moved behind
//! the program's back. To take a state away, declare a machine with moves out of it, move the cells,
//! and then declare the one without.
//!
//! # Watching
//!
//! [`Database::wait_for`] waits for a view, so it waits for a cell as well:
//!
//! ```
//! use std::time::Duration;
//!
//! use freehold::prelude::*;
//!
//! # fn main() -> freehold::Result<()> {
//! # let db = Database::in_memory()?;
//! let seen = db.transaction(|tx| tx.on::<StateCell>().init("order/7", b"placed"))?;
//! let changed = std::thread::scope(|scope| {
//!     scope.spawn(|| db.transaction(|tx| tx.on::<StateCell>().set("order/7", b"packed")));
//!     db.wait_for(Duration::from_secs(10), |view| {
//!         let cells = view.on::<StateCell>();
//!         (cells.version("order/7") != seen).then(|| cells.get("order/7").cloned())
//!     })
//! })?;
//! match changed {
//!     Some(Some(cell)) => assert_eq!(&cell.value()[..], b"packed"),
//!     Some(None) => panic!("deleted"),
//!     None => panic!("nothing happened in ten seconds"),
//! }
//! # Ok(())
//! # }
//! ```

mod cell;
mod error;
mod machine;

use std::ops::Bound;
use std::sync::Arc;

pub use cell::{Cell, Expected};
pub use error::StateError;
pub use machine::StateMachine;

use freehold::prelude::*;

/// Named cells, each with a value of bytes, a version and the time of its last change.
///
/// A name may be any text. A name with its values fits into one entry of the log, 64 MiB; a larger
/// change is rejected before anything changes.
#[primitive(id = 4, wal = 0x40..=0x48, name = "state")]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateCell {
    cells: OrdMap<Arc<str>, Cell>,
    machines: OrdMap<Arc<str>, Declared>,
    deleted_version: u64,
    #[index(rebuild = |all| bound(&all.cells))]
    bound: OrdSet<(Arc<str>, Arc<str>)>,
}

/// A machine and how often it was declared anew.
#[derive(Clone, Debug, PartialEq, Eq, Stored)]
struct Declared {
    machine: Arc<StateMachine>,
    version: u64,
}

#[operations]
impl StateCell {
    /// Makes the cell `name` with `value`. Returns its version: 1, or if a cell was ever deleted, one
    /// that none of the deleted had.
    ///
    /// # Errors
    ///
    /// [`StateError::Exists`] if it is there already, [`StateError::VersionsExhausted`] if there is no
    /// version left to begin with.
    #[wal(0x40)]
    pub fn init(
        &mut self,
        context: &OpContext,
        name: &str,
        value: &[u8],
    ) -> Result<u64, StateError> {
        if let Some(cell) = self.cells.get(name) {
            return Err(StateError::Exists { name: name.into(), version: cell.version });
        }
        self.write(context, name, value)
    }

    /// Sets the cell `name` to `value`, whatever it was, and makes it if there is none. Returns
    /// the new version. If it is bound, this is a move that its machine must allow.
    ///
    /// # Errors
    ///
    /// [`StateError::MoveNotAllowed`], and [`StateError::VersionsExhausted`] after 2⁶⁴ − 1 changes.
    #[wal(0x41)]
    pub fn set(
        &mut self,
        context: &OpContext,
        name: &str,
        value: &[u8],
    ) -> Result<u64, StateError> {
        self.write(context, name, value)
    }

    /// Sets the cell `name` to `value` if it is as `expected`: by value, or by the version that
    /// was read before. Returns the new version. If it is bound, this is a move that its machine
    /// must allow.
    ///
    /// # Errors
    ///
    /// [`StateError::Absent`] if there is no such cell, [`StateError::OtherValue`] or
    /// [`StateError::OtherVersion`] if it is not as expected, [`StateError::MoveNotAllowed`],
    /// [`StateError::VersionsExhausted`] after 2⁶⁴ − 1 changes.
    #[wal(0x42)]
    pub fn transition(
        &mut self,
        context: &OpContext,
        name: &str,
        expected: Expected,
        value: &[u8],
    ) -> Result<u64, StateError> {
        self.expect(name, &expected)?;
        self.write(context, name, value)
    }

    /// Deletes the cell `name` if it is as `expected`, and returns it as it was. A bound cell can be
    /// deleted in whatever state it is: that is no move.
    ///
    /// # Errors
    ///
    /// [`StateError::Absent`] if there is no such cell, [`StateError::OtherValue`] or
    /// [`StateError::OtherVersion`] if it is not as expected.
    #[wal(0x43)]
    pub fn delete(&mut self, name: &str, expected: Expected) -> Result<Cell, StateError> {
        self.expect(name, &expected)?;
        let absent = || StateError::Absent { name: name.into() };
        let cell = self.cells.remove(name).ok_or_else(absent)?;
        if let Some(machine) = &cell.machine {
            self.bound.remove(&(Arc::clone(machine), Arc::from(name)));
        }
        self.deleted_version = self.deleted_version.max(cell.version);
        Ok(cell)
    }

    /// Makes the cell `name` in an initial state of a declared machine, bound to it. Returns its
    /// version, as [`init`](StateCell::init) does.
    ///
    /// # Errors
    ///
    /// Those of [`init`](StateCell::init), [`StateError::NotDeclared`], and
    /// [`StateError::OtherState`] if a cell cannot begin in `state`.
    #[wal(0x44)]
    pub fn init_bound(
        &mut self,
        context: &OpContext,
        name: &str,
        machine: &str,
        state: &str,
    ) -> Result<u64, StateError> {
        if let Some(cell) = self.cells.get(name) {
            return Err(StateError::Exists { name: name.into(), version: cell.version });
        }
        let declared = self.declared(machine)?;
        if !declared.is_initial(state) {
            return Err(other_state(name, machine, state.as_bytes(), declared.initial_states()));
        }
        let version = self.write(context, name, state.as_bytes())?;
        self.bind(name, machine)?;
        Ok(version)
    }

    /// Binds the cell `name` to a declared machine, also if it is bound to another: from now on each
    /// change of it must be a move that this one allows. Its value may be any state of the machine.
    /// Its version stays, as its value does.
    ///
    /// # Errors
    ///
    /// [`StateError::Absent`], [`StateError::NotDeclared`], and [`StateError::OtherState`] if the
    /// machine does not know the state the cell is in.
    #[wal(0x45)]
    pub fn bind(&mut self, name: &str, machine: &str) -> Result<(), StateError> {
        let absent = || StateError::Absent { name: name.into() };
        let cell = self.cells.get(name).ok_or_else(absent)?;
        let declared = self.declared(machine)?;
        if !in_state_of(declared, cell) {
            return Err(other_state(name, machine, &cell.value, declared.states()));
        }
        self.rebind(name, Some(machine.into()))
    }

    /// Lets the cell `name` change in any way again; does nothing if it is not bound.
    ///
    /// # Errors
    ///
    /// [`StateError::Absent`].
    #[wal(0x46)]
    pub fn unbind(&mut self, name: &str) -> Result<(), StateError> {
        self.rebind(name, None)
    }

    /// Declares a machine under `name`, in place of the one that had it. Returns the machine's
    /// version: 1 for a new name, one more with each declaration that differs from the one before;
    /// the same machine again changes nothing.
    ///
    /// # Errors
    ///
    /// [`StateError::NoInitialState`], and [`StateError::OtherState`] if a bound cell is in a state
    /// that the new machine does not know; the error has the first such cell.
    #[wal(0x47)]
    pub fn declare(&mut self, name: &str, machine: StateMachine) -> Result<u64, StateError> {
        if machine.initial_states().next().is_none() {
            return Err(StateError::NoInitialState { machine: name.into() });
        }
        let mut version = 1;
        if let Some(before) = self.machines.get(name) {
            if *before.machine == machine {
                return Ok(before.version);
            }
            version = before.version.saturating_add(1);
        }
        if let Some((cell_name, cell)) =
            self.bound_to(name).find(|(_, cell)| !in_state_of(&machine, cell))
        {
            return Err(other_state(cell_name, name, &cell.value, machine.states()));
        }
        self.machines.insert(name.into(), Declared { machine: Arc::new(machine), version });
        Ok(version)
    }

    /// Forgets a machine. A later one of the same name begins at version 1 again.
    ///
    /// # Errors
    ///
    /// [`StateError::NotDeclared`], and [`StateError::InUse`] if cells are bound to it.
    #[wal(0x48)]
    pub fn undeclare(&mut self, machine: &str) -> Result<(), StateError> {
        self.declared(machine)?;
        let count = self.bound_to(machine).count();
        if count > 0 {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            return Err(StateError::InUse { machine: machine.into(), count });
        }
        self.machines.remove(machine);
        Ok(())
    }

    /// The cell `name` as it stands.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Cell> {
        self.cells.get(name)
    }

    /// How many cells there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is no cell at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The cells in the order of their names, from either end.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Cell)> {
        self.cells.iter().map(|(name, cell)| (&**name, cell))
    }

    /// The version of the cell `name`, 0 if there is none: what to compare in a wait.
    #[must_use]
    pub fn version(&self, name: &str) -> u64 {
        self.cells.get(name).map_or(0, |cell| cell.version)
    }

    /// The cells whose names begin with `prefix`, in order.
    pub fn prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &Cell)> + use<'_> {
        let prefix: Box<str> = prefix.into();
        self.cells
            .range::<str, _>((Bound::Included(&*prefix), Bound::Unbounded))
            .map(|(name, cell)| (&**name, cell))
            .take_while(move |(name, _)| name.starts_with(&*prefix))
    }

    /// The machine that is declared under `name`.
    #[must_use]
    pub fn machine(&self, name: &str) -> Option<&StateMachine> {
        self.machines.get(name).map(|declared| &*declared.machine)
    }

    /// The machines in the order of their names, each with its version.
    pub fn machines(&self) -> impl DoubleEndedIterator<Item = (&str, &StateMachine, u64)> {
        self.machines.iter().map(|(name, declared)| (&**name, &*declared.machine, declared.version))
    }

    /// The cells that are bound to a machine, in the order of their names.
    pub fn bound_to(&self, machine: &str) -> impl Iterator<Item = (&str, &Cell)> + use<'_> {
        let machine: Arc<str> = machine.into();
        self.bound
            .range((Bound::Included((Arc::clone(&machine), Arc::from(""))), Bound::Unbounded))
            .take_while(move |(of, _)| *of == machine)
            .filter_map(|(_, name)| Some((&**name, self.cells.get(name)?)))
    }

    fn declared(&self, machine: &str) -> Result<&StateMachine, StateError> {
        self.machine(machine).ok_or_else(|| StateError::NotDeclared { machine: machine.into() })
    }

    /// Refuses a cell that is not as expected.
    fn expect(&self, name: &str, expected: &Expected) -> Result<(), StateError> {
        let Some(cell) = self.cells.get(name) else {
            return Err(StateError::Absent { name: name.into() });
        };
        match *expected {
            Expected::Value(ref expected) if cell.value != *expected => {
                Err(StateError::OtherValue { name: name.into(), version: cell.version })
            }
            Expected::Version(expected) if cell.version != expected => {
                let found = cell.version;
                Err(StateError::OtherVersion { name: name.into(), found, expected })
            }
            Expected::Any | Expected::Value(_) | Expected::Version(_) => Ok(()),
        }
    }

    /// Refuses a move that the cell's machine does not allow.
    fn check_move(&self, name: &str, cell: &Cell, to: &[u8]) -> Result<(), StateError> {
        let Some(machine) = &cell.machine else { return Ok(()) };
        let declared = self.declared(machine)?;
        let from = text(&cell.value);
        if std::str::from_utf8(to).is_ok_and(|to| declared.allows(&from, to)) {
            return Ok(());
        }
        Err(StateError::MoveNotAllowed {
            name: name.into(),
            machine: (&**machine).into(),
            allowed: declared.moves_from(&from).map(Into::into).collect(),
            from,
            to: text(to),
        })
    }

    /// Gives the cell a new value and version; makes it if there is none.
    fn write(&mut self, context: &OpContext, name: &str, value: &[u8]) -> Result<u64, StateError> {
        let before = self.cells.get(name);
        if let Some(before) = before {
            self.check_move(name, before, value)?;
        }
        let last = before.map_or(self.deleted_version, |cell| cell.version);
        let exhausted = || StateError::VersionsExhausted { name: name.into(), version: last };
        let version = last.checked_add(1).ok_or_else(exhausted)?;
        let cell = Cell {
            value: Bytes::from(value),
            version,
            timestamp: context.timestamp(),
            lsn: context.lsn(),
            machine: before.and_then(|cell| cell.machine.clone()),
        };
        self.cells.insert(name.into(), cell);
        Ok(version)
    }

    fn rebind(&mut self, name: &str, machine: Option<Arc<str>>) -> Result<(), StateError> {
        let absent = || StateError::Absent { name: name.into() };
        let cell = self.cells.get_mut(name).ok_or_else(absent)?;
        let before = std::mem::replace(&mut cell.machine, machine.clone());
        let name: Arc<str> = name.into();
        if let Some(before) = before {
            self.bound.remove(&(before, Arc::clone(&name)));
        }
        if let Some(machine) = machine {
            self.bound.insert((machine, name));
        }
        Ok(())
    }
}

/// What the index says: each bound cell under its machine.
fn bound(cells: &OrdMap<Arc<str>, Cell>) -> OrdSet<(Arc<str>, Arc<str>)> {
    cells
        .iter()
        .filter_map(|(name, cell)| Some((Arc::clone(cell.machine.as_ref()?), Arc::clone(name))))
        .collect()
}

fn in_state_of(machine: &StateMachine, cell: &Cell) -> bool {
    std::str::from_utf8(&cell.value).is_ok_and(|state| machine.has(state))
}

/// A value as a message shows it.
fn text(value: &[u8]) -> Box<str> {
    String::from_utf8_lossy(value).into()
}

fn other_state<'a>(
    name: &str,
    machine: &str,
    found: &[u8],
    expected: impl Iterator<Item = &'a str>,
) -> StateError {
    StateError::OtherState {
        name: name.into(),
        machine: machine.into(),
        found: text(found),
        expected: expected.map(Into::into).collect(),
    }
}

#[cfg(test)]
freehold::conformance!(StateCell, {
    let name = "[abc]";
    // One machine meets its cells far more often than two would.
    let machine = prop_oneof![4 => Just("m"), 1 => Just("n")];
    let state = || prop_oneof![Just("x"), Just("y"), Just("z")];
    let value = prop_oneof![
        3 => state().prop_map(|state| state.as_bytes().to_vec()),
        1 => Just(vec![0xff]),
    ];
    let expected = prop_oneof![
        Just(Expected::Any),
        (0..4u64).prop_map(Expected::Version),
        value.clone().prop_map(|value| Expected::Value(value.as_slice().into())),
    ];
    let declared = (
        proptest::collection::vec(state(), 0..4),
        proptest::collection::vec((state(), state()), 0..4),
    )
        .prop_map(|(initial, moves)| {
            let machine = initial.into_iter().fold(StateMachine::new(), StateMachine::initial);
            moves.into_iter().fold(machine, |machine, (from, to)| machine.allow(from, [to]))
        });
    prop_oneof![
        1 => (name, value.clone()).prop_map(|(name, value)| call!(StateCell, init(&name, &value))),
        2 => (name, value.clone()).prop_map(|(name, value)| call!(StateCell, set(&name, &value))),
        3 => (name, expected.clone(), value).prop_map(|(name, expected, value)| {
            call!(StateCell, transition(&name, expected.clone(), &value))
        }),
        2 => (name, expected).prop_map(|(name, expected)| {
            call!(StateCell, delete(&name, expected.clone()))
        }),
        4 => (name, machine.clone(), state()).prop_map(|(name, machine, state)| {
            call!(StateCell, init_bound(&name, machine, state))
        }),
        2 => (name, machine.clone()).prop_map(|(name, machine)| call!(StateCell, bind(&name, machine))),
        1 => name.prop_map(|name| call!(StateCell, unbind(&name))),
        4 => (machine.clone(), declared).prop_map(|(machine, declared)| {
            call!(StateCell, declare(machine, declared.clone()))
        }),
        1 => machine.prop_map(|machine| call!(StateCell, undeclare(machine))),
    ]
});
