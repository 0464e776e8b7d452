/// One of those whose check is timed.
#[primitive(id = @ID@, wal = @WAL@)]
#[derive(Clone, Default)]
pub struct Primitive@NUMBER@ {
    rows: OrdMap<String, u64>,
}

#[operations]
impl Primitive@NUMBER@ {
    /// Puts a value.
    #[wal(@WAL_0@)]
    pub fn put(&mut self, key: &str, value: u64) -> Option<u64> {
        self.rows.insert(key.to_owned(), value)
    }

    /// Adds to a value.
    #[wal(@WAL_1@)]
    pub fn add(&mut self, key: &str, by: u64) -> u64 {
        let value = self.get(key).unwrap_or(0).saturating_add(by);
        self.rows.insert(key.to_owned(), value);
        value
    }

    /// Puts many.
    #[wal(@WAL_2@)]
    pub fn put_all(&mut self, rows: Vec<(String, u64)>) {
        self.rows.extend(rows);
    }

    /// Removes a value.
    #[wal(@WAL_3@)]
    pub fn remove(&mut self, key: &str) -> Option<u64> {
        self.rows.remove(key)
    }

    /// Removes the small ones.
    #[wal(@WAL_4@)]
    pub fn prune(&mut self, below: u64, except: Option<&str>) -> u64 {
        let before = self.rows.len();
        self.rows.retain(|key, value| *value >= below || Some(key.as_str()) == except);
        (before - self.rows.len()) as u64
    }

    /// A value.
    pub fn get(&self, key: &str) -> Option<u64> {
        self.rows.get(key).copied()
    }
}
