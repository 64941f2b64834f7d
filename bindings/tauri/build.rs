//! Generates a permission for each command; the sets in `permissions/` group them.

/// Every command, sorted. `tests/guest.rs` compares it with the handler, the permissions and the guest JavaScript.
const COMMANDS: &[&str] = &[
    "acknowledge",
    "approve_run",
    "cancel_run",
    "cancel_sign_in",
    "clear_sync",
    "connect_account",
    "disable_endpoint",
    "disable_sync",
    "disconnect_account",
    "enable_endpoint",
    "enable_sync",
    "list_connections",
    "list_endpoints",
    "list_integrations",
    "list_log_lines",
    "list_runs",
    "list_streams",
    "list_syncs",
    "list_templates",
    "note_online",
    "pause_sync",
    "read_page",
    "read_run",
    "reject_run",
    "resume_sync",
    "run_action",
    "send_request",
    "sign_in_account",
    "sign_in_in_browser",
    "subscribe",
    "trigger_sync",
    "unsubscribe",
    "watch",
];

fn main() {
    tauri_plugin::Builder::new(COMMANDS).build();
}
