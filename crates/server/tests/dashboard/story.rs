//! Plays a story of `stories.mjs` against a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use highwater_engine::Engine;
use highwater_server::Scope;
use serde_json::{Value, json};

use crate::support::{Running, start_with};

/// Chromium, and the scripts beside their packages.
pub(crate) struct Stage {
    chromium: PathBuf,
    folder: PathBuf,
}

impl Stage {
    /// Returns it where it can be had; otherwise says why the story is skipped.
    pub(crate) fn find() -> Option<&'static Stage> {
        static FOUND: OnceLock<Result<Stage, &'static str>> = OnceLock::new();
        match FOUND.get_or_init(Stage::make) {
            Ok(stage) => Some(stage),
            Err(why) => {
                println!("skipped: {why}");
                None
            }
        }
    }

    fn make() -> Result<Stage, &'static str> {
        if std::env::var_os("HIGHWATER_TEST_DASHBOARD").is_none() {
            return Err("set HIGHWATER_TEST_DASHBOARD to walk the dashboard in a browser");
        }
        let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
        let chromium = found.into_iter().find(|path| path.exists()).ok_or("there is no Chromium on this machine")?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboard");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
        fs::create_dir_all(folder.join("pictures")).unwrap();
        for name in ["package.json", "run.mjs", "stories.mjs", "pages.mjs"] {
            fs::copy(sources.join(name), folder.join(name)).unwrap();
        }
        let options = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
        let installed = Command::new("npm").args(options).current_dir(&folder).status();
        let installed = installed.is_ok_and(|status| status.success());
        installed.then_some(Stage { chromium, folder }).ok_or("npm cannot install the packages of the stories")
    }

    /// A file of a package.
    pub(crate) fn package_file(&self, path: &str) -> String {
        fs::read_to_string(self.folder.join("node_modules").join(path)).unwrap()
    }

    pub(crate) fn pictures(&self) -> PathBuf {
        self.folder.join("pictures")
    }

    /// Plays a story with what it needs to know; each thing that is not as it should be fails the test.
    pub(crate) async fn play(&self, story: &str, engine: &Engine, about: Value) {
        self.play_on(story, &start_with(engine.clone(), |server| server).await, about).await;
    }

    /// The same on a server that runs.
    pub(crate) async fn play_on(&self, story: &str, running: &Running, mut about: Value) {
        about["key"] = json!(running.server.keys().create("backend", Scope::Admin).await.unwrap().secret.expose());
        about["users"] = links(running).await;
        let link = running.server.dashboard_link(Scope::Admin);
        let arguments = [
            self.folder.join("run.mjs").display().to_string(),
            story.to_owned(),
            self.chromium.display().to_string(),
            format!("http://{}", running.address),
            link.expose().to_owned(),
            self.pictures().display().to_string(),
            about.to_string(),
        ];
        let played = tokio::task::spawn_blocking(move || Command::new("node").args(arguments).output());
        let output = played.await.unwrap().unwrap();
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(said, "done\n", "{complained}");
    }
}

/// Links on which end users connect an account: with a choice, for one integration, and to sign in again.
async fn links(running: &Running) -> Value {
    let mut links = json!({});
    for (name, path, body) in [
        ("connect-choice", "/connect/sessions", json!({ "end_user": { "id": "u-7" } })),
        ("connect-one", "/connect/sessions", json!({ "allowed_integrations": ["shop-main"] })),
        (
            "connect-again",
            "/connect/sessions/reconnect",
            json!({ "connection_id": "ann", "integration_id": "shop-main" }),
        ),
    ] {
        let answer = running.call("POST", path, Some(&body.to_string())).await;
        if answer.status == 201 {
            let link = answer.json()["data"]["connect_link"].as_str().unwrap().to_owned();
            links[name] = json!(link.split_once(&running.address.to_string()).unwrap().1);
        }
    }
    links
}
