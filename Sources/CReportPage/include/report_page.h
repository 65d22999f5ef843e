#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include <stddef.h>

// The sources of the report's page, embedded at compile time: a report is written by a program
// that has no other file beside it.

// The style sheet. Not terminated; `*count` becomes its length in bytes.
const char *_Nonnull report_page_style(size_t *_Nonnull count);

// The contents of the body without data and script.
const char *_Nonnull report_page_body(size_t *_Nonnull count);

// The whole script: the files of page/, in the order of their numbers, in one function.
const char *_Nonnull report_page_script(size_t *_Nonnull count);

#endif
