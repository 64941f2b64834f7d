/* Highwater for C: see docs/bindings.md. Written by cbindgen from bindings/c/src; a test compares it.
 *
 * Every text is UTF-8 and ends with a NUL. Texts that go in belong to the caller and are copied. Texts that come out belong to the caller,
 * who frees each with hw_string_free. A handle is a number, never 0, and never used twice: closing it again does nothing, and using it after
 * that is an error of the code `closed`. All functions may be called from any thread.
 *
 * Functions that can fail return HW_OK or HW_FAILED. With HW_FAILED, *error is a JSON object: `code` (which never changes), `message`,
 * `advice`, `retryable`, and `retry_after_ms` if it is known. Errors come back through a parameter, not by a last error of the thread,
 * because goroutines and asynchronous code of other languages move between threads. `error` may be NULL. */

#ifndef HIGHWATER_H
#define HIGHWATER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 The version of these functions. It grows when one of them changes; new functions do not change it.
 */
#define HW_ABI_VERSION 1

/*
 The function did what it says.
 */
#define HW_OK 0

/*
 The function failed: `*error` says why.
 */
#define HW_FAILED -1

/*
 A number that stands for an engine, a following or a run.
 */
typedef uint64_t hw_handle;

/*
 Fetches in a run, called on a thread of its own. Give commands with `hw_run_call`, and return 0 once everything was read.

 To fail, return another number. `*error` may then be a text that says why: the error of `hw_run_call` as it came, or one of
 `hw_string_new`. It is freed by the library. Return soon once `hw_run_is_stopped`. `user_data` is that of the template, and has to
 stay usable until the function has returned for the last time, which is after `hw_close`, at the latest when the process ends.
 */
typedef int32_t (*hw_fetch_fn)(hw_handle run, void *user_data, char **error);

/*
 A template whose fetch is a function.
 */
typedef struct hw_template {
  /*
   What it is, as JSON: see docs/bindings.md.
   */
  const char *info;
  /*
   The function.
   */
  hw_fetch_fn fetch;
  /*
   What the function is called with.
   */
  void *user_data;
} hw_template;

/*
 Is called with each page that `hw_watch` reads, on one thread, one call after the other. Return 0 to go on.

 The last call has no page: its `error` is NULL if the watch was closed or the function ended it. Both texts belong to the library
 and are valid until the function returns.
 */
typedef int32_t (*hw_page_fn)(void *user_data, const char *page, const char *error);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Returns `HW_ABI_VERSION` of the library, to compare with that of the header.
 */
uint32_t hw_abi_version(void);

/*
 Opens a store with an engine. `options` is JSON, such as `{"path": "app.db"}`. `templates` may be NULL if `count` is 0; they are copied.
 */
int32_t hw_open(const char *options,
                const struct hw_template *templates,
                size_t count,
                hw_handle *engine,
                char **error);

/*
 Runs an operation and blocks until it ends. `arguments` is a JSON object, or NULL for an empty one. `*result` is JSON.
 */
int32_t hw_call(hw_handle engine, const char *operation, const char *arguments, char **result, char **error);

/*
 Follows a stream. `arguments` are those of the operation `records`.
 */
int32_t hw_follow(hw_handle engine, const char *arguments, hw_handle *following, char **error);

/*
 Blocks until there is a page that is not empty, at most for `timeout_ms` milliseconds, or for as long as it takes if that is negative.
 `*page` is JSON, or NULL if the time is over. `hw_follow_close` on another thread ends the wait with an error of the code `closed`.
 */
int32_t hw_follow_next(hw_handle following,
                       int64_t timeout_ms,
                       char **page,
                       char **error);

/*
 Follows a stream on a thread of its own, which calls `callback` with each page.
 */
int32_t hw_watch(hw_handle engine,
                 const char *arguments,
                 hw_page_fn callback,
                 void *user_data,
                 hw_handle *watch,
                 char **error);

/*
 Ends what `hw_follow` or `hw_watch` began. The last call of a watch's callback has returned when this returns, unless it is made
 by the callback itself. Closing again does nothing.
 */
int32_t hw_follow_close(hw_handle following,
                        char **error);

/*
 Stops all runs, waits up to ten seconds for them, and closes the store. Whoever waits for this engine gets an error of the code
 `closed` or `cancelled`. With `HW_FAILED` the engine is closed all the same. Closing again does nothing.
 */
int32_t hw_close(hw_handle engine,
                 char **error);

/*
 Returns what a run begins with, as JSON, or NULL if the run is over.
 */
char *hw_run_setup(hw_handle run);

/*
 Gives a command in a run and blocks until it is answered. `arguments` is a JSON object, or NULL for an empty one. `*result` is JSON.
 */
int32_t hw_run_call(hw_handle run,
                    const char *command,
                    const char *arguments,
                    char **result,
                    char **error);

/*
 Returns whether a run is over: the function should return soon.
 */
bool hw_run_is_stopped(hw_handle run);

/*
 Verifies a provider's webhook. `arguments` is JSON: see docs/bindings.md. `*result` is JSON.
 */
int32_t hw_verify_webhook(const char *arguments, const uint8_t *body, size_t length, char **result, char **error);

/*
 Copies a text, for the error of a fetch function. NULL stays NULL; bytes that are not UTF-8 are replaced.
 */
char *hw_string_new(const char *text);

/*
 Frees a text that came out of this library. NULL is ignored.
 */
void hw_string_free(char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HIGHWATER_H */
