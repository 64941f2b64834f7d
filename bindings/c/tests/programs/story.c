/* The story that every binding tells: see bindings/common/tests/story. */
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include "highwater.h"
#include "json.h"

static const char *CONNECT = "{\"connection\": \"main\", \"provider\": \"demo\"}";
static const char *SYNC = "{\"connection\": \"main\", \"sync\": \"demo/items\"}";

static void fail(char *error) {
    fprintf(stderr, "%s\n", error);
    exit(1);
}

static char *call(hw_handle engine, const char *operation, const char *arguments) {
    char *result, *error;
    if (hw_call(engine, operation, arguments, &result, &error) != HW_OK) fail(error);
    return result;
}

/* Gives a command; returns NULL, with *error set, if it failed. */
static char *command(hw_handle run, const char *name, const char *arguments, char **error) {
    char *result;
    return hw_run_call(run, name, arguments, &result, error) == HW_OK ? result : NULL;
}

/* Saves the changes of a page: records, and the ids of those that are gone. */
static int save(hw_handle run, const char *changes, char **error) {
    char *arguments = malloc(2 * strlen(changes) + 100), *deleted = calloc(1, strlen(changes) + 1);
    strcpy(arguments, "{\"model\":\"Item\",\"records\":[");
    int records = 0;
    while (*changes != ']') {
        const char *end = json_end(changes);
        char *change = strndup(changes, (size_t)(end - changes));
        if (json_has(change, "\"deleted\":true")) {
            char *id = json_text(change, "id");
            sprintf(deleted + strlen(deleted), "%s\"%s\"", *deleted ? "," : "", id);
            free(id);
        } else {
            sprintf(arguments + strlen(arguments), "%s%s", records++ ? "," : "", change);
        }
        free(change);
        changes = *end == ',' ? end + 1 : end;
    }
    sprintf(arguments + strlen(arguments), "],\"deleted\":[%s]}", deleted);
    char *saved = command(run, "save", arguments, error);
    free(arguments);
    free(deleted);
    hw_string_free(saved);
    return saved ? 0 : 1;
}

/* Reads the feed. user_data: whether to be killed once the first page is saved. */
static int32_t fetch(hw_handle run, void *user_data, char **error) {
    char *setup = hw_run_setup(run);
    long after = json_number(setup, "checkpoint");
    hw_string_free(setup);
    for (int more = 1; more;) {
        char arguments[200];
        snprintf(arguments, sizeof arguments, "{\"path\":\"/changes\",\"query\":{\"after\":\"%ld\"}}", after);
        char *response = command(run, "request", arguments, error);
        if (!response) return 1;
        char *body = json_text(response, "body");
        hw_string_free(response);
        after = json_number(body, "next");
        more = json_has(body, "\"more\":true");
        snprintf(arguments, sizeof arguments, "{\"value\":%ld}", after);
        char *set = command(run, "checkpoint", arguments, error);
        hw_string_free(set);
        int failed = !set || save(run, strstr(body, "\"changes\":[") + strlen("\"changes\":["), error);
        free(body);
        if (failed) return 1;
        if (*(int *)user_data) kill(getpid(), SIGKILL);
    }
    return 0;
}

int main(int count, char **given) {
    if (count != 6) return 2;
    const char *phase = given[1], *db = given[2], *base_url = given[3], *cursor = given[5];
    FILE *output = fopen(given[4], "a");
    int crash = !strcmp(phase, "crash");
    char info[500], options[1000], *error;
    snprintf(info, sizeof info,
             "{\"provider\": {\"name\": \"demo\", \"base_url\": \"%s\"}, \"name\": \"items\", \"models\": [\"Item\"], "
             "\"incremental\": \"by its feed\"}", base_url);
    snprintf(options, sizeof options, "{\"path\": \"%s\", \"testing\": {\"now_ms\": %lld, \"seed\": 7}}", db,
             1798000000000LL + (strcmp(phase, "again") ? 0 : 60000));
    hw_template template = {info, fetch, &crash};
    hw_handle engine, following;
    if (hw_open(options, &template, 1, &engine, &error) != HW_OK) fail(error);
    hw_string_free(call(engine, "connect", CONNECT));
    hw_string_free(call(engine, "enable", SYNC));
    hw_string_free(call(engine, "run", SYNC));
    char arguments[500], since[200] = "";
    if (!strcmp(phase, "first")) {
        for (int caught_up = 0; !caught_up;) {
            snprintf(arguments, sizeof arguments, "{\"connection\": \"main\", \"model\": \"Item\", \"limit\": 2%s%s%s}",
                     *since ? ", \"since\": \"" : "", since, *since ? "\"" : "");
            char *page = call(engine, "records", arguments);
            fprintf(output, "%s\n", page);
            char *next = json_text(page, "next_cursor");
            snprintf(since, sizeof since, "%s", next);
            caught_up = json_has(page, "\"caught_up\":true");
            free(next);
            hw_string_free(page);
        }
    } else {
        snprintf(arguments, sizeof arguments, "{\"connection\": \"main\", \"model\": \"Item\", \"limit\": 2, \"since\": \"%s\"}", cursor);
        if (hw_follow(engine, arguments, &following, &error) != HW_OK) fail(error);
        char *page;
        for (int changes = 0; changes < 4;) {
            if (hw_follow_next(following, -1, &page, &error) != HW_OK) fail(error);
            for (const char *at = page; (at = strstr(at, "{\"net\":")); at++) changes++;
            fprintf(output, "%s\n", page);
            hw_string_free(page);
        }
        hw_follow_close(following, NULL);
        hw_follow_next(following, -1, &page, &error);
        char *code = json_text(error, "code");
        fprintf(output, "%s\n", code);
        free(code);
        hw_string_free(error);
    }
    if (hw_close(engine, &error) != HW_OK) fail(error);
    char *result;
    hw_call(engine, "records", NULL, &result, &error);
    char *code = json_text(error, "code");
    fprintf(output, "%s\n", code);
    free(code);
    hw_string_free(error);
    fclose(output);
    return 0;
}
