// Embeds the files of page/. The compiler knows that this file depends on them.

#include "report_page.h"

// C23, which this compiler has in every language mode; the package's C is older.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const char style[] = {
#embed "page/style.css"
};

static const char body[] = {
#embed "page/body.html"
};

// One strict function, so that the page has no globals.
static const char script[] = {
    '(', '(', ')', '=', '>', '{', '"', 'u', 's', 'e', ' ', 's', 't', 'r', 'i', 'c', 't', '"', ';',
    '\n',
#embed "page/01-elements.js"
    ,
#embed "page/02-numbers.js"
    ,
#embed "page/03-model.js"
    ,
#embed "page/04-overview.js"
    ,
#embed "page/05-treemap.js"
    ,
#embed "page/06-histogram.js"
    ,
#embed "page/07-details.js"
    ,
#embed "page/08-table.js"
    ,
#embed "page/09-modules.js"
    ,
#embed "page/10-layout.js"
    ,
#embed "page/11-drawing.js"
    ,
#embed "page/12-graph.js"
    ,
#embed "page/13-start.js"
    , '}', ')', '(', ')', ';', '\n'};

const char *report_page_style(size_t *count) {
  *count = sizeof style;
  return style;
}

const char *report_page_body(size_t *count) {
  *count = sizeof body;
  return body;
}

const char *report_page_script(size_t *count) {
  *count = sizeof script;
  return script;
}
