/* The little of JSON that the test programs read. A program of yours uses a library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A copy of the text behind `"name":"`, with its escapes replaced. */
static char *json_text(const char *json, const char *name) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\":\"", name);
    const char *from = strstr(json, wanted);
    if (!from) return NULL;
    from += strlen(wanted);
    char *text = malloc(strlen(from) + 1), *to = text;
    for (; *from != '"'; from++) {
        if (*from != '\\') { *to++ = *from; continue; }
        from++;
        if (*from == 'n') *to++ = '\n';
        else if (*from == 't') *to++ = '\t';
        else *to++ = *from; /* quotes and backslashes; the programs meet no others */
    }
    *to = 0;
    return text;
}

/* The number behind `"name":`. */
static long json_number(const char *json, const char *name) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *from = strstr(json, wanted);
    return from ? strtol(from + strlen(wanted), NULL, 10) : 0;
}

static int json_has(const char *json, const char *text) { return strstr(json, text) != NULL; }

/* The end of the value that begins at `from`. */
static const char *json_end(const char *from) {
    int depth = 0, quoted = 0;
    for (; *from; from++) {
        if (quoted) {
            if (*from == '\\') from++;
            else if (*from == '"') quoted = 0;
        } else if (*from == '"') quoted = 1;
        else if (*from == '{' || *from == '[') depth++;
        else if (*from == '}' || *from == ']') {
            if (depth == 0) return from;
            depth--;
        } else if (*from == ',' && depth == 0) return from;
    }
    return from;
}
