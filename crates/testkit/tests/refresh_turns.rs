//! Refreshing tokens where refresh tokens work once, by several processes: one at a time, and over no sign-in.

#[path = "support/rotating.rs"]
mod rotating;

use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_core::{ErrorKind, Store};
use highwater_engine::credentials::OAuthTokens;
use highwater_engine::{CredentialStore, Credentials};
use highwater_template::Secret;
use rotating::{Rotating, World, run, run_others, until};
use tokio::sync::Semaphore;
use tokio::time::Instant;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// How far a clock leaps: not at all, a little, ahead and back, and further than any term.
const LEAPS: [i64; 6] = [0, 61_000, -61_000, 88 * DAY_MS, -88 * DAY_MS, -10_000 * DAY_MS];

#[tokio::test(start_paused = true)]
async fn a_turn_left_by_a_dead_process_ends_whatever_the_clock_does() {
    for leap_ms in LEAPS {
        let world = World::signed_in(Rotating::default()).await;
        world.answers.forget_permits(Semaphore::MAX_PERMITS);
        let dead = world.engine().await;
        tokio::select! {
            biased;
            _ = run(&dead) => panic!("the answer cannot be there"),
            () = until(|| world.serial() == 1) => {}
        }
        drop(dead);
        assert_eq!(world.store.documents("renewal/", "", 10).await.unwrap().len(), 1);
        world.answers.add_permits(10);
        world.clock.set_skew_ms(leap_ms);
        // What the dead process had asked for is lost with its answer: this API says so, a forgiving one gives new tokens.
        let began = Instant::now();
        let error = run_others(&world.engine().await).await.unwrap_err();
        assert!(error.to_string().contains("sign in again"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(90), "{:?} with a leap of {leap_ms} ms", began.elapsed());
        world.api.with(|api| api.forgiving = true);
        run_others(&world.engine().await).await.unwrap();
        assert!(world.keeps("refresh-2"));
    }
}

/// The vault takes longer to keep renewed tokens than a dead process has its turn.
#[tokio::test(start_paused = true)]
async fn turn_of_a_live_process_is_waited_for_whatever_the_clock_does() {
    for leap_ms in LEAPS {
        let world = World::signed_in(Rotating::default()).await;
        let (one, two) = (world.engine().await, world.engine().await);
        *world.keychain.slow.lock().unwrap() = Duration::from_secs(100);
        let later = async {
            until(|| world.serial() == 1).await;
            world.clock.set_skew_ms(leap_ms);
            run_others(&two).await
        };
        let (one, two) = tokio::join!(run(&one), later);
        one.unwrap();
        two.unwrap();
        assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1), "with a leap of {leap_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_not_kept_yet_are_waited_for_by_another_process() {
    let world = World::signed_in(Rotating::default()).await;
    let (one, two) = (world.engine().await, world.engine().await);
    world.keychain.locked.store(true, Ordering::SeqCst);
    assert_eq!(run(&one).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    world.keychain.locked.store(false, Ordering::SeqCst);
    // What the keychain has is used up: who sends it ends the sign-in.
    let later = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        run_others(&one).await
    };
    let (two, one) = tokio::join!(run(&two), later);
    two.unwrap();
    one.unwrap();
    assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (1, 1));
}

/// A host that saves a sign-in in its keychain alone, in the very moment of a refresh.
#[tokio::test(start_paused = true)]
async fn a_sign_in_that_is_saved_during_a_refresh_stays() {
    for refresh_token in [Some("refresh-7"), None] {
        let world = World::signed_in(Rotating::default()).await;
        world.answers.forget_permits(Semaphore::MAX_PERMITS);
        let engine = world.engine().await;
        let signed_in = async {
            until(|| world.serial() == 1).await;
            world.api.with(|api| api.serial = 7);
            let tokens = OAuthTokens::new("app").access(Secret::new("access-7"), None);
            let tokens = match refresh_token {
                Some(token) => tokens.refresh(Secret::new(token)),
                None => tokens,
            };
            world.keychain.save("c", &Credentials::oauth2(tokens)).await.unwrap();
            world.answers.add_permits(10);
        };
        let (outcome, ()) = tokio::join!(run(&engine), signed_in);
        outcome.unwrap();
        assert!(world.keeps("access-7"), "the sign-in is not lost to the renewed tokens of the one before");
        // Every process goes on with it.
        run(&engine).await.unwrap();
        run(&world.engine().await).await.unwrap();
        assert_eq!(world.api.with(|api| (api.serial, api.token_requests)), (7, 1));
    }
}

/// The host may remove credentials in its keychain alone, too.
#[tokio::test(start_paused = true)]
async fn credentials_that_are_removed_during_a_refresh_stay_removed() {
    let world = World::signed_in(Rotating::default()).await;
    world.answers.forget_permits(Semaphore::MAX_PERMITS);
    let engine = world.engine().await;
    let removed = async {
        until(|| world.serial() == 1).await;
        world.keychain.kept.lock().unwrap().clear();
        world.answers.add_permits(10);
    };
    let (outcome, ()) = tokio::join!(run(&engine), removed);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert!(world.keychain.kept.lock().unwrap().is_empty());
}
