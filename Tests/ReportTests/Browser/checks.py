"""Opens reports in a headless browser and works their controls.

    python3 checks.py PAGES

PAGES is a folder with model.html (the embedded model), model.json (what is true of it, counted
without the program), hostile.html (a file whose tensor names are attacks) and lora.html (no graph).
One line for each check; the exit status is 1 where one fails.
"""

import json
import os
import re
import sys

from devtools import Browser, find

DESKTOP, PHONE = (1440, 900), (390, 844)


class Checks:
    def __init__(self, browser, folder):
        self.browser = browser
        self.folder = os.path.abspath(folder)
        with open(f"{folder}/model.json") as file:
            self.truth = json.load(file)

    def open(self, name, size=DESKTOP, scheme="light", is_phone=False):
        self.browser.open(f"file://{self.folder}/{name}", *size, scheme=scheme, is_phone=is_phone)

    def texts(self, selector):
        return self.browser.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")

    def text(self, selector):
        return self.browser.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def boxes(self, selector):
        """Positions by the data attribute that names each element."""
        return self.browser.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(e => {{"
            "const b = e.getBoundingClientRect();"
            "return {name: e.dataset.name ?? e.dataset.path, value: Number(e.dataset.value),"
            " x: b.x, y: b.y, width: b.width, height: b.height}; })")

    # ---- nothing is asked for, nothing goes wrong

    def quiet(self):
        assert self.browser.complaints() == [], self.browser.complaints()
        asked = [url for url in self.browser.requests() if not url.startswith("file:///")]
        assert asked == [], asked
        assert len(self.browser.requests()) == 1, self.browser.requests()

    # ---- overview

    def check_overview(self):
        self.open("model.html")
        assert self.text("#totals dd small") == f"{self.truth['parameters']:,}", self.text("#totals")
        assert "Complete" in self.text("#findings")
        assert len(self.texts("#bars figure")) == 3
        assert self.texts("#components h3") == list(self.truth["components"])
        assert "UNet2DConditionModel" in self.text("#components")
        self.quiet()

    # ---- treemap

    def check_treemap_areas(self):
        self.open("model.html")
        cells = self.boxes('#treemap-cells > [data-depth="0"]')
        total = self.browser.evaluate(
            "(b => b.width * b.height)(document.getElementById('treemap-cells').getBoundingClientRect())")
        found = {cell["name"].split(".")[0]: cell for cell in cells}
        assert set(found) == set(self.truth["components"]), set(found)
        for name, parameters in self.truth["components"].items():
            cell = found[name]
            assert cell["value"] == parameters, (name, cell)
            share = cell["width"] * cell["height"] / total
            assert abs(share - parameters / self.truth["parameters"]) < 0.005, (name, share)
        self.disjoint(cells)

    def check_treemap_zoom(self):
        self.open("model.html")
        self.browser.click('#treemap-cells > [data-name^="vae"] > .cell-name')
        assert self.texts("#treemap-trail li") == ["All", "vae"], self.texts("#treemap-trail li")
        inner = self.boxes('#treemap-cells > [data-depth="0"]')
        assert {"encoder", "decoder"} <= {cell["name"] for cell in inner}, inner
        # Without those that are too small to be seen.
        whole = self.truth["components"]["vae"]
        assert 0.99 * whole < sum(cell["value"] for cell in inner) <= whole, inner
        self.disjoint(inner)
        self.browser.click("#treemap-trail button")
        assert self.texts("#treemap-trail li") == ["All"]
        # By keyboard: into the first cell and out of it.
        self.browser.evaluate("document.querySelector('#treemap-cells > button').focus()")
        self.browser.key("Enter")
        assert len(self.texts("#treemap-trail li")) == 2
        self.browser.key("Escape")
        assert len(self.texts("#treemap-trail li")) == 1

    def check_treemap_controls(self):
        self.open("model.html")
        fills = ("[...new Set([...document.querySelectorAll('#treemap-cells button')]"
                 ".map(e => e.style.getPropertyValue('--fill')))].length")
        assert self.browser.evaluate(fills) == 3
        self.browser.click('#treemap-controls [data-choice="kind"]')
        group = self.texts('#treemap-cells [data-depth="1"] > .cell-name')
        assert "convolution" in group, group
        self.browser.click('#treemap-controls [data-choice="dtype"]')
        assert "F16" in self.text("#treemap-legend"), self.text("#treemap-legend")

    def check_treemap_opens_tensors(self):
        self.open("model.html")
        self.browser.click('#treemap-cells [data-name="token_embedding.weight"]')
        assert self.text("#tensor-dialog-title").endswith("token_embedding.weight")
        self.browser.key("Escape")
        assert not self.browser.evaluate("document.getElementById('tensor-dialog').open")

    # ---- table

    def first_rows(self, count=3):
        return self.texts("#table-body tr:not(.spacer) td.name")[:count]

    def check_table_sorts(self):
        self.open("model.html")
        assert len(self.texts("#table-body tr:not(.spacer)")) < 100, "only rows in view are drawn"
        for key, column in [("parameters", "parameters"), ("name", "name"), ("bytes", "bytes"),
                            ("shape", "parameters"), ("min", "min"), ("max", "max"), ("zeros", "zeros")]:
            for way in range(2):
                self.browser.click(f'#table-head [data-key="{key}"] button')
                order = self.browser.evaluate(
                    f'document.querySelector(\'#table-head [data-key="{key}"]\').ariaSort')
                rows = self.truth["tensors"]
                if column == "name":
                    rows = sorted(rows, key=lambda row: natural(row["name"]))
                else:
                    rows = sorted(rows, key=lambda row: row[column])
                if order == "descending":
                    rows = rows[::-1]
                shown = self.first_rows(1)[0]
                best = [row["name"] for row in rows if row[column] == rows[0][column]]
                assert shown in best, (key, order, shown, best[:3])
            self.browser.click(f'#table-head [data-key="{key}"] button')
        assert self.first_rows(3) == [row["name"] for row in self.truth["tensors"][:3]]

    def check_table_filters(self):
        self.open("model.html")
        self.browser.type("#table-search", "attn2 TO_K")
        expected = [row["name"] for row in self.truth["tensors"]
                    if "attn2" in row["name"] and "to_k" in row["name"]]
        assert self.first_rows(1000) == expected and expected
        assert self.text("#table-count").startswith(f"{len(expected)} of {len(self.truth['tensors'])} ")
        self.browser.click("#table-reset")
        for name, key, value in [("component", "component", "vae"), ("dtype", "dtype", "I64")]:
            self.choose(f"#filter-{name}", value)
            number = sum(row[key] == value for row in self.truth["tensors"])
            assert self.text("#table-count").startswith(f"{number} of"), self.text("#table-count")
            self.browser.click("#table-reset")
        self.choose("#filter-kind", "attention")
        names = self.first_rows(1000)
        assert names and all(re.search(r"attn|attention|to_|_proj|query|key|value", n) for n in names), names
        self.choose("#filter-kind", "")
        self.browser.type("#table-search", "no tensor is called this")
        assert self.browser.evaluate("!document.getElementById('table-empty').hidden")

    def choose(self, selector, value):
        self.browser.evaluate(
            f"(e => {{ e.value = {json.dumps(value)}; e.dispatchEvent(new Event('change')); }})"
            f"(document.querySelector({json.dumps(selector)}))")
        self.browser.settle()

    def check_table_scrolls(self):
        self.open("model.html")
        self.browser.evaluate("document.getElementById('table-scroller').scrollTop = 1e9")
        self.browser.settle()
        self.browser.settle()
        assert self.texts("#table-body tr:not(.spacer) td.name")[-1] == self.truth["tensors"][-1]["name"]

    def check_histogram(self):
        self.open("model.html")
        self.browser.type("#table-search", "conv_in.weight")
        names = self.first_rows(10)
        self.browser.click("#table-body tr:nth-child(2) button")
        assert self.text("#tensor-dialog-title") == names[1]
        bins = self.boxes("#tensor-dialog rect.bin")
        assert len(bins) == 64 and max(b["height"] for b in bins) > 100, len(bins)
        row = next(row for row in self.truth["tensors"] if row["name"] == names[1])
        facts = dict(zip(self.texts("#tensor-dialog dt"), self.texts("#tensor-dialog dd")))
        assert facts["Shape"] == " × ".join(map(str, row["shape"])), facts
        shown = float(facts["Minimum"].replace("−", "-"))
        assert abs(shown - row["min"]) <= 1e-3 * abs(row["min"]), (facts, row)
        heights = sum(b["height"] for b in bins)
        self.browser.click('#tensor-dialog [data-choice="log"]')
        assert sum(b["height"] for b in self.boxes("#tensor-dialog rect.bin")) > heights
        self.browser.click("#tensor-next")
        assert self.text("#tensor-dialog-title") == names[2]
        self.browser.click("#tensor-close")
        assert not self.browser.evaluate("document.getElementById('tensor-dialog').open")
        self.quiet()

    def check_distributions(self):
        self.open("model.html")
        curves = "document.querySelectorAll('#distributions-chart .curve').length"
        assert self.browser.evaluate(curves) == 3
        self.browser.click("#distributions-controls .toggles button")
        assert self.browser.evaluate(curves) == 2

    # ---- networks

    def graph_boxes(self):
        return {box["name"]: box for box in self.boxes("#graph-canvas .node")}

    def check_unet_is_a_u(self):
        self.open("model.html")
        boxes = self.graph_boxes()
        canvas = self.boxes("#graph-canvas")[0]
        down = [box for name, box in boxes.items() if name.startswith("down_blocks.")]
        up = [box for name, box in boxes.items() if name.startswith("up_blocks.")]
        middle = boxes["mid_block"]
        assert len(down) == len(up) == 4, list(boxes)
        assert max(b["x"] + b["width"] for b in down) < min(b["x"] for b in up)
        assert middle["y"] > max(b["y"] + b["height"] for b in down + up)
        for box in boxes.values():
            assert box["x"] >= canvas["x"] and box["x"] + box["width"] <= canvas["x"] + canvas["width"]
            assert box["y"] >= canvas["y"] and box["y"] + box["height"] <= canvas["y"] + canvas["height"]
        # Every skip connection ends in one concatenation.
        labels = self.texts("#graph-canvas .edge.skip .edge-label")
        carried = sum(int(m[1]) if (m := re.match(r"(\d+)× ", part)) else 1
                      for label in labels for part in label.split(", "))
        assert carried == self.truth["concatenations"], labels

    def check_graph_opens_modules(self):
        self.open("model.html")
        before = self.graph_boxes()
        self.browser.click('[data-path="down_blocks.1"] .toggle')
        opened = self.graph_boxes()
        assert "down_blocks.1.resnets.0" in opened and len(opened) > len(before)
        self.disjoint_leaves()
        self.browser.click('[data-path="down_blocks.1"] .toggle')
        assert set(self.graph_boxes()) == set(before)
        self.browser.click('[data-path="up_blocks.0"] .title', 2)
        assert any(name.startswith("up_blocks.0.") for name in self.graph_boxes())

    def check_graph_opens_all(self):
        """Every network with every module open: all nodes are there and none covers another."""
        self.open("model.html")
        for index, network in enumerate(self.truth["networks"]):
            self.browser.click(f'#graph-networks [data-choice="{index}"]')
            self.browser.click("#graph-open")
            leaves = self.browser.evaluate("document.querySelectorAll('#graph-canvas .node.layer').length")
            assert leaves == network["nodes"], (network, leaves)
            self.disjoint_leaves()
            broken = self.browser.evaluate(
                "[...document.querySelectorAll('#graph-canvas [d], #graph-canvas [transform]')]"
                ".filter(e => /NaN|undefined/.test(e.outerHTML)).length")
            assert broken == 0, network

    def check_graph_zooms(self):
        self.open("model.html")
        scale = lambda: float(self.browser.evaluate("document.getElementById('graph-canvas').dataset.scale"))
        start = scale()
        self.browser.click("#graph-in")
        assert scale() > start
        self.browser.click("#graph-fit")
        assert abs(scale() - start) < 1e-3
        x, y = self.browser.place("#graph-canvas")
        # Out of use the wheel scrolls the page.
        self.browser.evaluate("document.activeElement.blur()")
        self.browser.wheel(x, y, -200)
        assert abs(scale() - start) < 1e-3
        x, y = self.browser.place("#graph-canvas")
        self.browser.evaluate("document.getElementById('graph-canvas').focus()")
        self.browser.wheel(x, y, -300)
        assert scale() > 1.2 * start, scale()
        self.browser.key("0")
        assert abs(scale() - start) < 1e-3
        self.browser.key("+")
        assert scale() > start
        before = self.graph_boxes()["mid_block"]
        self.browser.key("ArrowDown")
        assert self.graph_boxes()["mid_block"]["y"] < before["y"] - 20
        before = self.graph_boxes()["mid_block"]
        x, y = self.browser.place("#graph-canvas")
        self.browser.drag(x, y, 70, -30)
        after = self.graph_boxes()["mid_block"]
        assert abs(after["x"] - before["x"] - 70) < 2 and abs(after["y"] - before["y"] + 30) < 2, (before, after)

    def check_graph_touch(self):
        """Out of use a finger scrolls the page; in use one moves the drawing and two pinch it."""
        self.open("model.html", PHONE, is_phone=True)
        touch = "getComputedStyle(document.getElementById('graph-canvas')).touchAction"
        x, y = self.browser.place("#graph-canvas")
        assert self.browser.evaluate(touch) == "pan-y"
        self.browser.evaluate("document.getElementById('graph-canvas').focus({ preventScroll: true })")
        assert self.browser.evaluate(touch) == "none"
        before = self.graph_boxes()["mid_block"]
        self.browser.touch([[(x, y)], [(x + 20, y + 10)], [(x + 40, y + 20)]])
        after = self.graph_boxes()["mid_block"]
        assert after["x"] > before["x"] + 15 and after["y"] > before["y"] + 5, (before, after)
        self.browser.touch([[(x - 20, y), (x + 20, y)], [(x - 40, y), (x + 40, y)], [(x - 60, y), (x + 60, y)]])
        assert self.graph_boxes()["mid_block"]["width"] > 2 * after["width"]
        self.quiet()

    def check_graph_search(self):
        self.open("model.html")
        self.browser.type("#graph-search", "mid_block attn2 to_q")
        found = self.texts("#graph-results button span:first-child")
        assert len(found) == 1 and found[0].endswith("attn2.to_q"), found
        self.browser.key("Enter")
        node = self.graph_boxes()[found[0]]
        canvas = self.boxes("#graph-canvas")[0]
        assert canvas["x"] < node["x"] < canvas["x"] + canvas["width"] - 50
        assert canvas["y"] < node["y"] < canvas["y"] + canvas["height"] - 20
        assert self.text("#graph-details h3") == found[0]
        facts = dict(zip(self.texts("#graph-details dt"), self.texts("#graph-details dd")))
        assert facts["Kind"] == "linear" and facts["MACs"] and facts["Activation"], facts
        self.browser.click("#graph-details .tensor-links button")
        assert self.text("#tensor-dialog-title") == found[0] + ".weight"

    def check_graph_keyboard(self):
        self.open("model.html")
        self.browser.evaluate("document.querySelector('#graph-canvas [tabindex=\"0\"]').focus()")
        self.browser.key("ArrowDown")
        first = self.text("#graph-details h3")
        self.browser.key("ArrowDown")
        second = self.text("#graph-details h3")
        assert first != second and second != "unet", (first, second)
        self.browser.evaluate("document.querySelector('[data-path=\"mid_block\"]').focus()")
        self.browser.key(" ")
        assert "mid_block.resnets.0" in self.graph_boxes()
        self.quiet()

    # ---- the page as a whole

    def check_theme(self):
        for scheme in ["light", "dark"]:
            self.open("model.html", scheme=scheme)
            self.browser.evaluate("localStorage.clear()")
            self.open("model.html", scheme=scheme)
            colour = "getComputedStyle(document.body).backgroundColor"
            before = self.browser.evaluate(colour)
            assert self.browser.evaluate("document.documentElement.dataset.theme") == scheme
            self.contrast(scheme)
            self.browser.click("#theme")
            assert self.browser.evaluate(colour) != before
            other = self.browser.evaluate("document.documentElement.dataset.theme")
            assert other != scheme
            # The choice stays.
            self.open("model.html", scheme=scheme)
            assert self.browser.evaluate("document.documentElement.dataset.theme") == other
            self.browser.evaluate("localStorage.clear()")

    def contrast(self, scheme):
        """Text against what it stands on, as WCAG 2 asks of small text: 4.5 to 1."""
        pairs = [("ink", "page"), ("ink", "card"), ("ink", "sunken"), ("soft", "page"), ("soft", "card"),
                 ("soft", "sunken"), ("accent", "card"), ("accent", "accent-soft"), ("good", "good-soft"),
                 ("warn", "warn-soft"), ("bad", "bad-soft"), ("bad", "card")]
        pairs += [("cell-ink", f"hue-{index}") for index in range(9)]
        for front, back in pairs:
            one, two = (luminance(self.browser.evaluate(
                f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')"))
                for name in (front, back))
            ratio = (max(one, two) + 0.05) / (min(one, two) + 0.05)
            assert ratio >= 4.5, (scheme, front, back, round(ratio, 2))

    def check_phone(self):
        for name in ["model.html", "lora.html", "hostile.html"]:
            self.open(name, PHONE, "dark", is_phone=True)
            width = self.browser.evaluate("document.documentElement.scrollWidth")
            assert width <= PHONE[0], (name, width)
            wide = self.browser.evaluate(
                "[...document.querySelectorAll('main *')].filter(e => !e.closest('.treemap, .graph-canvas, "
                ".table-scroller, svg, .unseen') && e.getBoundingClientRect().right > innerWidth + 1)"
                ".map(e => e.id || e.className)")
            assert wide == [], (name, wide)
            small = self.browser.evaluate(
                "[...document.querySelectorAll('.button, .choices-row button, select, .icon-button, input')]"
                ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 36).map(e => e.id || e.textContent)")
            assert small == [], (name, small)
        self.open("model.html", PHONE, is_phone=True)
        self.browser.click("#table-body tr:nth-child(2) button")
        dialog = self.boxes("#tensor-dialog")[0]
        assert dialog["x"] >= 0 and dialog["x"] + dialog["width"] <= PHONE[0], dialog
        self.quiet()

    def check_print(self):
        self.open("model.html", scheme="dark")
        pages = self.browser.call("Page.printToPDF", printBackground=True)["data"]
        assert len(pages) > 20_000
        self.browser.settle()
        assert self.browser.evaluate("document.documentElement.dataset.theme") == "dark"
        assert len(self.texts("#table-body tr:not(.spacer)")) < 100
        self.quiet()

    def check_hostile_names(self):
        self.open("hostile.html")
        assert self.browser.evaluate("typeof window.attacked") == "undefined"
        assert self.browser.evaluate("document.scripts.length") == 2
        assert self.browser.evaluate("document.querySelectorAll('main img, main iframe').length") == 0
        shown = self.browser.evaluate(
            "JSON.parse(document.getElementById('data').textContent).tensors.map(row => row[1])")
        assert sorted(shown) == sorted(self.truth["hostile"]), shown
        rows = self.texts("#table-body tr:not(.spacer) td.name")
        for name in self.truth["hostile"]:
            assert (visible(name) or "(unnamed)") in rows, name
        self.browser.click("#table-body tr:nth-child(1) button")
        self.browser.click("#tensor-close")
        self.quiet()

    def check_without_graph(self):
        self.open("lora.html")
        assert "no graph" in self.text("#graph-body")
        assert len(self.texts("#treemap-cells button")) > 10
        self.quiet()

    # ---- helpers

    def disjoint(self, boxes):
        for index, a in enumerate(boxes):
            for b in boxes[index + 1:]:
                over_x = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
                over_y = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
                assert over_x < 0.5 or over_y < 0.5, (a, b)

    def disjoint_leaves(self):
        """No box that is not an open module covers another."""
        boxes = self.browser.evaluate(
            "[...document.querySelectorAll('#graph-canvas .node:not(.open)')].map(e => {"
            "const m = e.transform.baseVal[0].matrix, b = e.querySelector('.box');"
            "return {name: e.dataset.path, x: m.e, y: m.f, width: +b.getAttribute('width'),"
            " height: +b.getAttribute('height')}; })")
        boxes.sort(key=lambda box: box["y"])
        for index, a in enumerate(boxes):
            for b in boxes[index + 1:]:
                if b["y"] >= a["y"] + a["height"]:
                    break
                assert b["x"] >= a["x"] + a["width"] or a["x"] >= b["x"] + b["width"], (a, b)


def visible(name):
    """As the page writes what cannot be seen."""
    return re.sub("[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]",
                  lambda match: f"\\u{{{ord(match[0]):x}}}", name)


def natural(text):
    """As the page's collation puts names in order: numbers by value."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def luminance(colour):
    channels = [int(colour.strip()[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def main():
    browser = Browser(find())
    failed = 0
    try:
        checks = Checks(browser, sys.argv[1])
        wanted = sys.argv[2:]
        for name in [name for name in dir(checks) if name.startswith("check_")]:
            if wanted and name not in wanted:
                continue
            try:
                getattr(checks, name)()
                print(f"ok {name}")
            except (AssertionError, RuntimeError) as error:
                failed += 1
                place = error.__traceback__
                while place.tb_next:
                    place = place.tb_next
                print(f"FAILED {name}, line {place.tb_lineno}: {error!r}"[:1500])
    finally:
        browser.close()
    sys.exit(1 if failed else 0)


main()
