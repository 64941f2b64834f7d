// No console beside the window on Windows.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

fn main() {
    if let Err(error) = highwater_desktop::run() {
        eprintln!("the application could not run: {error}");
        std::process::exit(1);
    }
}
