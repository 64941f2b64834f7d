//! A small desktop application on Highwater. It needs no account: a demo API answers in the application itself, or elsewhere if
//! `HIGHWATER_DEMO_URL` names one. `HIGHWATER_DEMO_DATA` names another folder for its store.

use std::path::Path;
use std::sync::Arc;

use highwater_testkit::demo::{Crm, Records};
use tauri::{Manager, async_runtime};
use tauri_plugin_highwater::highwater::engine::TriggerMode;
use tauri_plugin_highwater::highwater::template::Template;
use tauri_plugin_highwater::{Builder, HighwaterExt};

/// Runs the application until its last window is closed.
///
/// # Errors
///
/// Those of the demo API, which may find no port, and of Tauri.
pub fn run() -> Result<(), Box<dyn std::error::Error>> {
    let elsewhere = std::env::var("HIGHWATER_DEMO_URL").ok();
    let own = elsewhere.is_none();
    let url = match elsewhere {
        Some(url) => url,
        None => async_runtime::block_on(async {
            let (crm, url) = Crm::start().await?;
            // Its users work as long as the application runs.
            drop(crm.work());
            Ok::<_, tauri_plugin_highwater::highwater::Error>(url)
        })?,
    };
    let mut plugin = Builder::new().templates([Arc::new(Records::new(&url)) as Arc<dyn Template>]);
    if let Some(folder) = std::env::var_os("HIGHWATER_DEMO_DATA") {
        plugin = plugin.store_path(Path::new(&folder).join("highwater.db"));
    }
    let builder = tauri::Builder::default();
    // A second start shows the first one's window.
    let builder = builder.plugin(tauri_plugin_single_instance::init(|app, _, _| {
        if let Some(window) = app.get_webview_window("main") {
            let _ = window.unminimize();
            let _ = window.set_focus();
        }
    }));
    #[cfg(feature = "e2e")]
    let builder = builder.plugin(tauri_plugin_webdriver::init());
    builder
        .plugin(plugin.build())
        .setup(move |app| {
            if own && let Ok(highwater) = app.highwater() {
                highwater.runtime().clone().spawn(async move {
                    // That demo API begins anew with the application, so its records are read anew.
                    for sync in highwater.engine().enabled_syncs().await? {
                        let name = format!("{}", sync.template);
                        highwater.engine().sync(&sync.connection, name)?.trigger(TriggerMode::ResetAndClear).await?;
                    }
                    Ok::<_, tauri_plugin_highwater::highwater::Error>(())
                });
            }
            Ok(())
        })
        .run(tauri::generate_context!())?;
    Ok(())
}
