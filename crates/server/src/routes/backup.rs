//! `GET /store/backup`: a whole copy of the store, as it is at one moment, while it is used.
//!
//! The copy is made in the folder for temporary files, in a folder that nobody else may open, and sent from there in pieces. It is
//! removed before the first of them is sent, or as soon as the client leaves. The disk is waited for on threads that may block, of
//! the runtime that serves the request.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, stream};
use highwater_core::{Backup, Environment, Error, ErrorKind, Maintenance};

use crate::about::About;
use crate::call::Call;
use crate::error::ApiError;
use crate::keys::Scope;
use crate::route::{Answer, Route};
use crate::state::State;

/// How long making the copy may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// The size of a piece.
const PIECE: usize = 128 << 10;
/// How often removing the folder is tried, while the copy that nobody waits for any more ends.
const ATTEMPTS: usize = 3;

pub(crate) fn routes() -> Vec<Route> {
    let about = About::new(
        "Downloads a backup: a copy of the whole store that opens as it is. Credentials are in it as encrypted as in the store; \
         records, settings and log lines are readable unless the store is encrypted.",
    );
    let about = about.answer_as(200, "The bytes of the store's file.", "application/octet-stream");
    vec![Route::get("/store/backup", Scope::Admin, backup).answer_time(PATIENCE).about(about)]
}

async fn backup(call: Call) -> Answer {
    download(&call.state).await
}

/// Answers with a new copy of the store.
pub(crate) async fn download(state: &State) -> Answer {
    let environment = state.environment();
    let path = Folder::path_below(&state.temporary_folder, &**environment);
    let folder = blocking(move || Folder::create(path)).await?;
    let path = folder.0.join("backup");
    state.engine.store().maintain(Maintenance::BackUp(Backup::to(&path))).await?;
    let (pieces, bytes) = blocking(move || Pieces::open(&path, folder)).await?;
    let name = format!("attachment; filename=\"highwater-{}.backup\"", environment.now().unix_ms());
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_DISPOSITION, name),
        (CONTENT_LENGTH, bytes.to_string()),
    ];
    Ok::<Response, ApiError>((headers, Body::from_stream(pieces.stream())).into_response())
}

/// A folder for one copy, which ends with it.
struct Folder(PathBuf);

impl Folder {
    fn path_below(folder: &Path, environment: &dyn Environment) -> PathBuf {
        let mut random = [0; 16];
        environment.fill_random(&mut random);
        folder.join(format!("highwater-backup-{}", hex::encode(random)))
    }

    fn create(path: PathBuf) -> Result<Self, Error> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|source| failed("the folder for a backup cannot be created", source))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for _ in 0..ATTEMPTS {
            if fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
        }
    }
}

/// The bytes of the copy.
struct Pieces {
    file: File,
    _folder: Folder,
}

impl Pieces {
    /// Opens the copy, and returns how many bytes it has.
    fn open(path: &Path, folder: Folder) -> Result<(Self, u64), Error> {
        let unreadable = |source| failed("the backup cannot be read", source);
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        // What is open can be read on; where the system does not remove it yet, it goes with its folder, at the end.
        let _ = fs::remove_file(path);
        Ok((Pieces { file, _folder: folder }, bytes))
    }

    fn stream(self) -> impl Stream<Item = Result<Bytes, Error>> {
        stream::try_unfold(self, |mut pieces| {
            blocking(move || {
                let mut piece = Vec::with_capacity(PIECE);
                let read = pieces.file.by_ref().take(PIECE as u64).read_to_end(&mut piece);
                let read = read.map_err(|source| failed("the backup cannot be read", source))?;
                Ok((read > 0).then(|| (Bytes::from(piece), pieces)))
            })
        })
    }
}

/// Waits for the disk on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|source| Error::new(ErrorKind::Internal, "the backup was not read to its end").because(source))?
}

fn failed(what: &'static str, source: io::Error) -> Error {
    Error::new(ErrorKind::of_io(&source), what).because(source)
}
