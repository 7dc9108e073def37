"""Tables of notebooks, taken apart as a browser does."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """A page with one table.

    Attributes:
        caption: of the table.
        rows: the texts of their cells, the head first.
        sentences: below the table.
        tags: names of all elements.
    """

    def __init__(self, text):
        super().__init__()
        self.caption, self.rows, self.sentences, self.tags = "", [], [], []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        # A colour of our own could not be read in a dark theme.
        assert not any("color" in value.replace("color: inherit", "") for _, value in attributes)
        assert not any("background" in value for _, value in attributes)
        self._open.append(tag)
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
        elif tag == "p":
            self.sentences.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, text):
        where = self._open[-1]
        if where in ("th", "td"):
            self.rows[-1][-1] += text
        elif where == "p":
            self.sentences[-1] += text
        elif where == "caption":
            self.caption += text
        else:
            raise AssertionError(f"{text!r} is in no cell")

    def row(self, name):
        """The texts of a row, by column; of a fact, its value."""
        found = next(row for row in self.rows if row[0] == name)
        return found[1] if len(found) == 2 else dict(zip(self.rows[0][1:], found[1:], strict=True))


def page_of(thing):
    """Its table; what is printed has the same words."""
    page = Page(thing._repr_html_())
    lines = str(thing).splitlines()
    assert lines[0] == page.caption
    printed = " ".join(str(thing).split())
    for row in page.rows:
        assert " ".join(" ".join(row).split()) in printed
    for sentence in page.sentences:
        assert sentence in lines
    return page
