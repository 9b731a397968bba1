"""Pages as a browser requests and reads them."""

from html.parser import HTMLParser

import httpx

# The Accept header that Chromium sends when the user follows a link.
BROWSER = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)


class Links(HTMLParser):
    """Collects the resources and links of a page, and any inline code."""

    def __init__(self, page: httpx.Response) -> None:
        """Read a page."""
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.inline: list[str] = []
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element loads, or where it leads."""
        attributes = dict(attrs)
        address = attributes.get("src") or attributes.get("href")
        if tag == "script" and "src" not in attributes:
            self.inline.append(tag)
        self.inline += [name for name in attributes if name.startswith("on")]
        if address:
            (self.links if tag == "a" else self.loads).add(address)
