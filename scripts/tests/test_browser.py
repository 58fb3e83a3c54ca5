import pathlib
import tempfile
import unittest

import browser
import support
from crucible_lib import charts, report, results

WIDTHS = (1280, 400)
# What is wider than the page and does not scroll in a box of its own.
TOO_WIDE = """[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
  && !e.closest('.scroll, figure, pre')).map(e => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40))"""


@unittest.skipUnless(browser.find(), "needs Chromium, which is not installed: apt-get install chromium")
class InABrowser(unittest.TestCase):
    """The report of the example as a reader sees it."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        document = results.read(support.EXAMPLE)
        cls.page = report.render(document, cls.folder, charts.draw(document, cls.folder))
        cls.browser = cls.enterClassContext(browser.Browser(browser.find()))

    def test_nothing_is_wider_than_the_page(self):
        for width in WIDTHS:
            with self.subTest(width=width):
                self.browser.open(self.page, width)
                self.browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                self.assertEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
                self.assertEqual(self.browser.evaluate(TOO_WIDE), [])

    def test_the_page_asks_for_nothing_else(self):
        self.browser.open(self.page)
        self.assertEqual(self.browser.requests, [self.page.resolve().as_uri()])

    def test_a_page_that_asks_for_something_or_is_too_wide_would_be_seen(self):
        asking = self.folder / "asking.html"
        asking.write_text('<img src="http://elsewhere.invalid/x.png"><div style="width: 3000px">wide</div>')
        self.browser.open(asking)
        self.assertIn("http://elsewhere.invalid/x.png", self.browser.requests)
        self.assertEqual(len(self.browser.evaluate(TOO_WIDE)), 1)

    def test_it_is_dark_for_who_wants_it_dark(self):
        seen = {}
        for dark in (False, True):
            self.browser.open(self.page, dark=dark)
            seen[dark] = [self.browser.evaluate(f"getComputedStyle(document.body).{what}.match(/\\d+/g)"
                                                ".reduce((sum, value) => sum + Number(value) / 3, 0)")
                          for what in ("backgroundColor", "color")]
        self.assertGreater(seen[False][0], 200)
        self.assertLess(seen[True][0], 60)
        for background, ink in seen.values():
            self.assertGreater(abs(background - ink), 150)

    def test_the_first_screen_answers(self):
        self.browser.open(self.page, 1280, 900)
        for name in ("short", "headline"):
            top = self.browser.evaluate(f"document.getElementById('{name}').getBoundingClientRect().top")
            self.assertLess(top, 900, name)

    def test_a_link_of_the_matrix_opens_the_page_of_its_clause(self):
        self.browser.open(self.page)
        self.browser.evaluate("document.querySelector('a[href=\"#clause-P19\"]').click()")
        shown = "document.getElementById('clause-P19').getBoundingClientRect().height"
        self.assertGreater(self.browser.evaluate(f"new Promise(r => setTimeout(() => r({shown}), 100))", wait=True), 0)

    def test_heads_stay_while_a_long_table_scrolls(self):
        self.browser.open(self.page)
        self.browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        moved = self.browser.evaluate(
            "(() => { const boxes = [...document.querySelectorAll('.tall')];"
            " const box = boxes.find(b => b.scrollHeight > b.clientHeight + 300);"
            " box.scrollTop = 250; const head = box.querySelector('thead th').getBoundingClientRect();"
            " return head.top - box.getBoundingClientRect().top; })()")
        self.assertAlmostEqual(moved, 0, delta=3)


if __name__ == "__main__":
    unittest.main()
