//! What begins and ends with the application, its windows and their pages.

use tauri::webview::{PageLoadEvent, PageLoadPayload};
use tauri::{AppHandle, RunEvent, Runtime, Webview, WindowEvent, async_runtime};

use crate::managed::HighwaterExt;

/// A page that goes takes its subscriptions along: the callbacks of its channels are gone.
pub(crate) fn page_loads<R: Runtime>(webview: &Webview<R>, load: &PageLoadPayload<'_>) {
    if load.event() == PageLoadEvent::Started
        && let Ok(highwater) = webview.highwater()
    {
        highwater.subscriptions().end_of(webview.label());
        highwater.sign_ins().end_of(webview.label());
    }
}

pub(crate) fn event<R: Runtime>(app: &AppHandle<R>, event: &RunEvent) {
    let Ok(highwater) = app.highwater() else { return };
    match event {
        RunEvent::WindowEvent { label, event: WindowEvent::Destroyed, .. } => {
            highwater.subscriptions().end_of(label);
            highwater.sign_ins().end_of(label);
        }
        RunEvent::Resumed => {
            let background = highwater.background().clone();
            highwater.runtime().spawn(async move {
                // Ended work needs no such note.
                let _ = background.notify_resumed().await;
            });
        }
        RunEvent::Exit => {
            if let Err(error) = async_runtime::block_on(highwater.close()) {
                tracing::warn!(target: "highwater::tauri", %error, "the application ends before everything was closed");
            }
        }
        _ => {}
    }
}
