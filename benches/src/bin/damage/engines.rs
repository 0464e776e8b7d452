//! The engines, each as a program uses it that wants every commit to survive: the strictest sync, and
//! else what the engine does by itself. `checked` and `absolute` ask for all that it can check.

use std::error::Error;
use std::path::Path;

use freehold::primitives::KvStore;
use freehold::{Database, Options};

use crate::data::Key;
use crate::history::{State, Write};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An open database.
pub trait Engine {
    /// One commit that has survived when it returns.
    fn commit(&mut self, writes: &[Write]) -> Result<()>;

    /// Moves what the log holds to where it stays, if the engine has two such places.
    fn settle(&mut self) -> Result<()>;

    /// Everything, by going through it.
    fn scan(&self) -> Result<State>;

    /// What is under this key, asked for by itself.
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>>;
}

/// A way to open a directory: the database in it, or a new one if `new`. Where an engine can say
/// that it expects one to be there, it does.
pub type Open = fn(&Path, bool) -> Result<Box<dyn Engine>>;

pub const ENGINES: &[(&str, Open)] = &[
    ("freehold", freehold_opens),
    #[cfg(feature = "fjall")]
    ("fjall", fjall_peer::opens),
    #[cfg(feature = "redb")]
    ("redb", |dir, new| redb_peer::opens(dir, new, false)),
    #[cfg(feature = "redb")]
    ("redb, checked", |dir, new| redb_peer::opens(dir, new, true)),
    #[cfg(feature = "sqlite")]
    ("SQLite", |dir, new| sqlite_peer::opens(dir, new, false)),
    #[cfg(feature = "sqlite")]
    ("SQLite, checked", |dir, new| sqlite_peer::opens(dir, new, true)),
    #[cfg(feature = "raft-engine")]
    ("raft-engine", |dir, _| {
        raft_peer::opens(dir, raft_engine::RecoveryMode::TolerateTailCorruption)
    }),
    #[cfg(feature = "raft-engine")]
    ("raft-engine, absolute", |dir, _| {
        raft_peer::opens(dir, raft_engine::RecoveryMode::AbsoluteConsistency)
    }),
];

struct Freehold(Database);

fn freehold_opens(dir: &Path, _: bool) -> Result<Box<dyn Engine>> {
    let options = Options::new().segment_bytes(4 << 10).on_warning(|_, _| {});
    Ok(Box::new(Freehold(options.open(dir)?)))
}

impl Engine for Freehold {
    fn commit(&mut self, writes: &[Write]) -> Result<()> {
        Ok(self.0.transaction(|tx| {
            let mut kv = tx.on::<KvStore>();
            for (key, value) in writes {
                match value {
                    Some(value) => _ = kv.put(key, value)?,
                    None => _ = kv.delete(key)?,
                }
            }
            Ok(())
        })?)
    }

    fn settle(&mut self) -> Result<()> {
        self.0.checkpoint()?;
        Ok(())
    }

    fn scan(&self) -> Result<State> {
        let view = self.0.view();
        let pairs = view.on::<KvStore>().iter();
        pairs.map(|(key, value)| Ok((whole(key)?, value.to_vec()))).collect()
    }

    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>> {
        Ok(self.0.view().on::<KvStore>().get(key).map(|value| value.to_vec()))
    }
}

/// A key of another length was never written; what it stands for shall be seen as such.
fn whole(key: &[u8]) -> Result<Key> {
    let mut whole = Key::default();
    let len = key.len().min(whole.len());
    whole[..len].copy_from_slice(&key[..len]);
    Ok(whole)
}

#[cfg(feature = "fjall")]
mod fjall_peer {
    use fjall::{KeyspaceCreateOptions, PersistMode};

    use super::*;

    struct Fjall {
        database: fjall::Database,
        entries: fjall::Keyspace,
    }

    pub fn opens(dir: &Path, _: bool) -> Result<Box<dyn Engine>> {
        let database = fjall::Database::builder(dir).open()?;
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default)?;
        Ok(Box::new(Fjall { database, entries }))
    }

    impl Engine for Fjall {
        fn commit(&mut self, writes: &[Write]) -> Result<()> {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
            for (key, value) in writes {
                match value {
                    Some(value) => batch.insert(&self.entries, key, value.as_slice()),
                    None => batch.remove(&self.entries, key),
                }
            }
            Ok(batch.commit()?)
        }

        fn settle(&mut self) -> Result<()> {
            Ok(self.entries.rotate_memtable_and_wait()?)
        }

        fn scan(&self) -> Result<State> {
            let pairs = self.entries.iter().map(|guard| {
                let (key, value) = guard.into_inner()?;
                Ok((whole(&key)?, value.to_vec()))
            });
            pairs.collect()
        }

        fn get(&self, key: &Key) -> Result<Option<Vec<u8>>> {
            Ok(self.entries.get(key)?.map(|value| value.to_vec()))
        }
    }
}

#[cfg(feature = "redb")]
mod redb_peer {
    use redb::{ReadableDatabase, ReadableTable, TableDefinition};

    use super::*;

    const ENTRIES: TableDefinition<Key, &[u8]> = TableDefinition::new("entries");

    struct Redb(redb::Database);

    pub fn opens(dir: &Path, new: bool, checked: bool) -> Result<Box<dyn Engine>> {
        let path = dir.join("entries.redb");
        let mut database =
            if new { redb::Database::create(path)? } else { redb::Database::open(path)? };
        if checked && !new && !database.check_integrity()? {
            return Err("the check failed".into());
        }
        Ok(Box::new(Redb(database)))
    }

    impl Engine for Redb {
        fn commit(&mut self, writes: &[Write]) -> Result<()> {
            let transaction = self.0.begin_write()?;
            let mut table = transaction.open_table(ENTRIES)?;
            for (key, value) in writes {
                match value {
                    Some(value) => _ = table.insert(key, value.as_slice())?,
                    None => _ = table.remove(key)?,
                }
            }
            drop(table);
            Ok(transaction.commit()?)
        }

        fn settle(&mut self) -> Result<()> {
            Ok(())
        }

        fn scan(&self) -> Result<State> {
            let table = self.0.begin_read()?.open_table(ENTRIES)?;
            let pairs = table.iter()?.map(|pair| {
                let (key, value) = pair?;
                Ok((key.value(), value.value().to_vec()))
            });
            pairs.collect()
        }

        fn get(&self, key: &Key) -> Result<Option<Vec<u8>>> {
            let table = self.0.begin_read()?.open_table(ENTRIES)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        }
    }
}

#[cfg(feature = "sqlite")]
mod sqlite_peer {
    use rusqlite::{Connection, OpenFlags, OptionalExtension};

    use super::*;

    struct Sqlite(Connection);

    pub fn opens(dir: &Path, new: bool, checked: bool) -> Result<Box<dyn Engine>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let flags = if new { flags | OpenFlags::SQLITE_OPEN_CREATE } else { flags };
        let connection = Connection::open_with_flags(dir.join("entries.sqlite"), flags)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if new {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // So that what comes after `settle` stays in the log.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            connection.execute_batch("CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB)")?;
        } else if checked {
            let said: String =
                connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
            if said != "ok" {
                return Err(said.into());
            }
        }
        Ok(Box::new(Sqlite(connection)))
    }

    impl Engine for Sqlite {
        fn commit(&mut self, writes: &[Write]) -> Result<()> {
            let transaction = self.0.transaction()?;
            for (key, value) in writes {
                match value {
                    Some(value) => transaction
                        .execute("INSERT OR REPLACE INTO entries VALUES (?1, ?2)", (key, value))?,
                    None => transaction.execute("DELETE FROM entries WHERE key = ?1", (key,))?,
                };
            }
            Ok(transaction.commit()?)
        }

        fn settle(&mut self) -> Result<()> {
            Ok(self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
        }

        fn scan(&self) -> Result<State> {
            let mut query = self.0.prepare("SELECT key, value FROM entries")?;
            let mut rows = query.query([])?;
            let mut state = State::new();
            while let Some(row) = rows.next()? {
                state.insert(whole(&row.get::<_, Vec<u8>>(0)?)?, row.get(1)?);
            }
            Ok(state)
        }

        fn get(&self, key: &Key) -> Result<Option<Vec<u8>>> {
            let query = "SELECT value FROM entries WHERE key = ?1";
            Ok(self.0.query_row(query, (key,), |row| row.get(0)).optional()?)
        }
    }
}

#[cfg(feature = "raft-engine")]
mod raft_peer {
    use raft_engine::{Config, LogBatch, ReadableSize, RecoveryMode};

    use super::*;

    const GROUP: u64 = 1;

    struct RaftEngine(raft_engine::Engine);

    pub fn opens(dir: &Path, recovery_mode: RecoveryMode) -> Result<Box<dyn Engine>> {
        let config = Config {
            dir: dir.to_string_lossy().into_owned(),
            recovery_mode,
            target_file_size: ReadableSize::kb(4),
            ..Config::default()
        };
        Ok(Box::new(RaftEngine(raft_engine::Engine::open(config)?)))
    }

    impl Engine for RaftEngine {
        fn commit(&mut self, writes: &[Write]) -> Result<()> {
            let mut batch = LogBatch::default();
            for (key, value) in writes {
                match value {
                    Some(value) => batch.put(GROUP, key.to_vec(), value.clone())?,
                    None => batch.delete(GROUP, key.to_vec()),
                }
            }
            self.0.write(&mut batch, true)?;
            Ok(())
        }

        fn settle(&mut self) -> Result<()> {
            Ok(())
        }

        fn scan(&self) -> Result<State> {
            let mut state = State::new();
            self.0.scan_raw_messages(GROUP, None, None, false, |key, value| {
                state.extend(whole(key).map(|key| (key, value.to_vec())));
                true
            })?;
            Ok(state)
        }

        fn get(&self, key: &Key) -> Result<Option<Vec<u8>>> {
            Ok(self.0.get(GROUP, key))
        }
    }
}
