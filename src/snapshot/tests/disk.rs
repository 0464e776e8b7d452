//! A disk in memory that notes its calls and refuses the one it is told to. It has no fault model:
//! crashes are the simulated disk's.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile, DiskRef, FileRef, Listed, OpenMode};

#[derive(Clone, Default)]
pub(super) struct MemoryDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<PathBuf, Arc<Mutex<Vec<u8>>>>,
    calls: Vec<String>,
    /// The call, counted from 0, that fails, and those after it too.
    fails_from: Option<usize>,
    fails_until: usize,
    longest_read: usize,
}

impl MemoryDisk {
    pub(super) fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    pub(super) fn shared(&self) -> DiskRef {
        Arc::new(self.clone())
    }

    pub(super) fn bytes(&self, path: &Path) -> Vec<u8> {
        self.inner().files[path].lock().unwrap().clone()
    }

    pub(super) fn set(&self, path: &Path, bytes: &[u8]) {
        let file = Arc::new(Mutex::new(bytes.to_vec()));
        self.inner().files.insert(path.to_path_buf(), file);
    }

    pub(super) fn names(&self) -> Vec<PathBuf> {
        self.inner().files.keys().cloned().collect()
    }

    /// The calls since the last time.
    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().calls)
    }

    /// The longest buffer that was given to read into.
    pub(super) fn longest_read(&self) -> usize {
        self.inner().longest_read
    }

    /// From now on the calls from the `from`th until the `until`th fail.
    pub(super) fn fail(&self, from: usize, until: usize) {
        let mut inner = self.inner();
        inner.calls.clear();
        inner.fails_from = Some(from);
        inner.fails_until = until;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn call(&self, name: &str, path: &Path) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.inner();
        let count = inner.calls.len();
        inner.calls.push(format!("{name} {}", path.display()));
        match inner.fails_from {
            Some(from) if (from..inner.fails_until).contains(&count) => {
                Err(io::Error::other("planned"))
            }
            _ => Ok(inner),
        }
    }
}

impl Disk for MemoryDisk {
    fn full_path(&self, path: &Path) -> PathBuf {
        Path::new("/memory").join(path)
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let inner = self.call("list", dir)?;
        let listed = inner.files.iter().filter_map(|(path, file)| {
            let name = path.strip_prefix(dir).ok()?.to_str()?.to_string();
            Some(Listed { name, is_dir: false, len: file.lock().unwrap().len() as u64 })
        });
        Ok(listed.collect())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileRef> {
        let mut inner = self.call("open", path)?;
        let file = match (inner.files.get(path).cloned(), mode) {
            (Some(_), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(file), _) => file,
            (None, OpenMode::CreateNew) => {
                let file = Arc::default();
                inner.files.insert(path.to_path_buf(), Arc::clone(&file));
                file
            }
            (None, _) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(MemoryFile { disk: self.clone(), path: path.to_path_buf(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.call("rename", from)?;
        let file = inner.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.files.insert(to.to_path_buf(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.call("remove", path)?;
        inner.files.remove(path).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call("sync", dir).map(|_| ())
    }

    fn random(&self, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    path: PathBuf,
    file: Arc<Mutex<Vec<u8>>>,
}

impl DiskFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        let _inner = self.disk.call("size", &self.path)?;
        Ok(self.file.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.call("read", &self.path)?;
        inner.longest_read = inner.longest_read.max(buffer.len());
        let file = self.file.lock().unwrap();
        let rest = file.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let _inner = self.disk.call("write", &self.path)?;
        let mut file = self.file.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        // Short now and then, as the trait allows.
        let count = if bytes.len() > 7 { bytes.len() - 3 } else { bytes.len() };
        if file.len() < offset + count {
            file.resize(offset + count, 0);
        }
        file[offset..offset + count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_size(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call("sync", &self.path).map(|_| ())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
