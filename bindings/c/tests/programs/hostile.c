/* What no program should do, and what a program that does it gets: codes, never a crash. The argument is a folder. */
#include <pthread.h>
#include <stdint.h>

#include "highwater.h"
#include "json.h"

static int checks;

/* Checks that a call failed with a code. */
static void expect(int line, int32_t status, char *error, const char *wanted) {
    char *code = error ? json_text(error, "code") : NULL;
    if (status == HW_OK || !code || strcmp(code, wanted)) {
        fprintf(stderr, "line %d: status %d, wanted %s, got %s\n", line, status, wanted, error ? error : "no error");
        exit(1);
    }
    free(code);
    hw_string_free(error);
    checks++;
}

static void need(int line, int true_, const char *error) {
    if (!true_) {
        fprintf(stderr, "line %d: %s\n", line, error ? error : "is not so");
        exit(1);
    }
    checks++;
}

#define FAILS(code, call) do { error = NULL; int32_t status_ = (call); expect(__LINE__, status_, error, code); } while (0)
#define WORKS(call) do { error = NULL; int32_t status_ = (call); need(__LINE__, status_ == HW_OK && !error, error); } while (0)

static hw_handle kept_run;

static int32_t refuses(hw_handle run, void *user_data, char **error) {
    (void)user_data;
    kept_run = run;
    *error = hw_string_new("{\"code\": \"rate_limited\", \"message\": \"slow down\"}");
    return 1;
}

static int32_t says_nothing(hw_handle run, void *user_data, char **error) {
    (void)run, (void)user_data, (void)error;
    return 42;
}

static int32_t passes_on(hw_handle run, void *user_data, char **error) {
    (void)user_data;
    char *result = NULL;
    if (hw_run_call(run, "save", "{\"model\": \"Note\", \"records\": 5}", &result, error) == HW_OK) return 0;
    return 1;
}

static int32_t saves(hw_handle run, void *user_data, char **error) {
    (void)user_data;
    char *result = NULL;
    if (hw_run_call(run, "save", "{\"model\": \"Note\", \"records\": [{\"id\": \"a\"}]}", &result, error) != HW_OK) return 1;
    hw_string_free(result);
    return 0;
}

struct pages {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int pages, ended;
    hw_handle close_within;
};

static int32_t on_page(void *user_data, const char *page, const char *error) {
    struct pages *pages = user_data;
    pthread_mutex_lock(&pages->lock);
    if (page) pages->pages++;
    else pages->ended = error ? 2 : 1;
    pthread_cond_broadcast(&pages->changed);
    pthread_mutex_unlock(&pages->lock);
    if (page && pages->close_within) hw_follow_close(pages->close_within, NULL);
    return 0;
}

int main(int count, char **given) {
    if (count != 2) return 2;
    char *error = NULL, *result = NULL, *page = NULL;
    hw_handle engine = 7, second = 7, following = 7;
    need(__LINE__, hw_abi_version() == HW_ABI_VERSION, NULL);

    /* NULL everywhere, with and without a place for the error. */
    FAILS("invalid", hw_open(NULL, NULL, 0, &engine, &error));
    need(__LINE__, engine == 0, NULL);
    need(__LINE__, hw_open(NULL, NULL, 0, NULL, NULL) == HW_FAILED, NULL);
    FAILS("invalid", hw_open("{\"store\": \"memory\"}", NULL, 0, NULL, &error));
    FAILS("invalid", hw_open("{\"store\": \"memory\"}", NULL, 1, &engine, &error));
    need(__LINE__, hw_call(0, NULL, NULL, NULL, NULL) == HW_FAILED, NULL);
    need(__LINE__, hw_follow(0, NULL, NULL, NULL) == HW_FAILED, NULL);
    need(__LINE__, hw_follow_next(0, 0, NULL, NULL) == HW_FAILED, NULL);
    need(__LINE__, hw_watch(0, NULL, NULL, NULL, NULL, NULL) == HW_FAILED, NULL);
    need(__LINE__, hw_run_call(0, NULL, NULL, NULL, NULL) == HW_FAILED, NULL);
    need(__LINE__, hw_run_setup(0) == NULL && hw_run_is_stopped(0), NULL);
    need(__LINE__, hw_verify_webhook(NULL, NULL, 0, NULL, NULL) == HW_FAILED, NULL);
    FAILS("invalid", hw_verify_webhook("{\"scheme\": \"github\", \"headers\": {}, \"secrets\": []}", NULL, 5, &result, &error));
    FAILS("unauthorized", hw_verify_webhook("{\"scheme\": \"github\", \"headers\": {}, \"secrets\": []}", NULL, 0, &result, &error));
    hw_string_free(NULL);
    need(__LINE__, hw_string_new(NULL) == NULL, NULL);

    /* Not UTF-8, not JSON, not known. */
    FAILS("invalid", hw_open("{\"path\": \"\xff\"}", NULL, 0, &engine, &error));
    FAILS("invalid", hw_open("{\"path\": \"x\", \"colour\": 1}", NULL, 0, &engine, &error));
    hw_template templates[4] = {
        {"{\"provider\": {\"name\": \"demo\", \"base_url\": \"http://127.0.0.1:9\"}, \"name\": \"refuses\", \"models\": [\"Note\"]}", refuses, NULL},
        {"{\"provider\": {\"name\": \"demo\", \"base_url\": \"http://127.0.0.1:9\"}, \"name\": \"nothing\", \"models\": [\"Note\"]}", says_nothing, NULL},
        {"{\"provider\": {\"name\": \"demo\", \"base_url\": \"http://127.0.0.1:9\"}, \"name\": \"passes\", \"models\": [\"Note\"]}", passes_on, NULL},
        {"{\"provider\": {\"name\": \"demo\", \"base_url\": \"http://127.0.0.1:9\"}, \"name\": \"saves\", \"models\": [\"Note\"]}", saves, NULL},
    };
    hw_template broken = templates[0];
    broken.fetch = NULL;
    FAILS("invalid", hw_open("{\"store\": \"memory\"}", &broken, 1, &engine, &error));
    broken = templates[0];
    broken.info = NULL;
    FAILS("invalid", hw_open("{\"store\": \"memory\"}", &broken, 1, &engine, &error));

    /* Two opens of a store for one process. */
    char options[1000];
    snprintf(options, sizeof options, "{\"path\": \"%s/sled\", \"store\": \"sled\"}", given[1]);
    WORKS(hw_open(options, templates, 4, &engine, &error));
    FAILS("locked", hw_open(options, NULL, 0, &second, &error));
    need(__LINE__, second == 0, NULL);

    /* Operations. */
    FAILS("invalid", hw_call(engine, NULL, NULL, &result, &error));
    FAILS("invalid", hw_call(engine, "records", "\xff\xfe", &result, &error));
    FAILS("invalid", hw_call(engine, "format", NULL, &result, &error));
    FAILS("invalid", hw_call(engine, "records", "{\"connection\": 5}", &result, &error));
    need(__LINE__, result == NULL, NULL);
    WORKS(hw_call(engine, "connect", "{\"connection\": \"c\", \"provider\": \"demo\"}", NULL, &error));
    WORKS(hw_call(engine, "streams", NULL, &result, NULL));
    hw_string_free(result);
    FAILS("invalid", hw_call(engine + 1000, "streams", NULL, &result, &error));

    /* Fetch functions that fail. */
    FAILS("rate_limited", hw_call(engine, "run", "{\"connection\": \"c\", \"sync\": \"demo/refuses\"}", &result, &error));
    FAILS("invalid", hw_call(engine, "run", "{\"connection\": \"c\", \"sync\": \"demo/nothing\"}", &result, &error));
    FAILS("invalid", hw_call(engine, "run", "{\"connection\": \"c\", \"sync\": \"demo/passes\"}", &result, &error));
    FAILS("closed", hw_run_call(kept_run, "progress", NULL, &result, &error));
    need(__LINE__, hw_run_is_stopped(kept_run) && !hw_run_setup(kept_run), NULL);

    /* Followings: a time that is over, the wrong handle, a callback, and closing within it. */
    const char *stream = "{\"connection\": \"c\", \"model\": \"Note\"}";
    FAILS("invalid", hw_follow(engine, NULL, &following, &error));
    FAILS("invalid", hw_follow(engine, stream, NULL, &error));
    WORKS(hw_follow(engine, stream, &following, &error));
    FAILS("invalid", hw_follow_next(following, 0, NULL, &error));
    WORKS(hw_follow_next(following, 0, &page, &error));
    need(__LINE__, page == NULL, NULL);
    FAILS("invalid", hw_follow_next(engine, 0, &page, &error));
    FAILS("invalid", hw_call(following, "streams", NULL, &result, &error));
    FAILS("invalid", hw_close(following, &error));
    FAILS("invalid", hw_follow_close(engine, &error));
    FAILS("invalid", hw_watch(engine, stream, NULL, NULL, &second, &error));
    struct pages pages = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0};
    WORKS(hw_watch(engine, stream, on_page, &pages, &second, &error));
    WORKS(hw_call(engine, "run", "{\"connection\": \"c\", \"sync\": \"demo/saves\"}", &result, &error));
    hw_string_free(result);
    pthread_mutex_lock(&pages.lock);
    while (!pages.pages) pthread_cond_wait(&pages.changed, &pages.lock);
    pthread_mutex_unlock(&pages.lock);
    WORKS(hw_follow_close(second, &error));
    need(__LINE__, pages.ended == 1, NULL);
    WORKS(hw_follow_close(second, &error));
    WORKS(hw_follow_next(following, -1, &page, &error));
    need(__LINE__, json_has(page, "\"id\":\"a\""), page);
    hw_string_free(page);

    /* Closed handles. */
    WORKS(hw_follow_close(following, &error));
    WORKS(hw_follow_close(following, &error));
    FAILS("closed", hw_follow_next(following, -1, &page, &error));
    WORKS(hw_follow(engine, stream, &following, &error));
    WORKS(hw_close(engine, &error));
    WORKS(hw_close(engine, &error));
    FAILS("closed", hw_call(engine, "streams", NULL, &result, &error));
    FAILS("closed", hw_follow(engine, stream, &second, &error));
    FAILS("closed", hw_follow_next(following, -1, &page, &error));
    WORKS(hw_follow_close(following, &error));
    FAILS("invalid", hw_close(0, &error));
    FAILS("invalid", hw_close(123456, &error));
    printf("%d checks\n", checks);
    return 0;
}
