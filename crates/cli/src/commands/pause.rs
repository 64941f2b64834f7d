//! `highwater pause`

use highwater::Result;

use crate::args::SyncName;
use crate::output::Output;
use crate::stores;

pub(crate) async fn run(name: &SyncName, output: &Output) -> Result<()> {
    let store = stores::open_existing(&name.store)?;
    stores::engine(&store, &name.store)?.sync(&name.connection, &name.sync)?.pause().await?;
    output.done_with_sync("paused", name);
    output.line(format!("{} {} is paused", name.connection, name.sync));
    store.close().await
}
