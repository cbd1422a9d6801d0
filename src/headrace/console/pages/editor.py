"""The gateway as text, in the console: read, changed, compared while one types, applied with the whole diff in sight.

Called by the shell. Decides nothing: the text is read as `headrace apply -f` reads a file, and applied as a change of
the version that it was loaded from, so that nobody overwrites what they have not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nicegui import run, ui

from headrace.console.pages.gateway import APPLY, gateway_tabs
from headrace.console.parts.button import button, copy_button
from headrace.console.parts.confirm import toast
from headrace.console.parts.diff import show_diff
from headrace.console.parts.frame import page_head, panel, problem
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.secret import show_secrets
from headrace.console.parts.settle import ask_with_diff
from headrace.console.parts.tag import VALUE_OF_TARGET, choice, tag, text
from headrace.console.visit import Visit
from headrace.control.wanted import SECTION as ENDPOINTS
from headrace.provision.diff import Line
from headrace.provision.document import SECTIONS as WRITTEN
from headrace.provision.service import Applied
from headrace.provision.text import sections_of, text_of
from headrace.types.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.control.services import Services

SECTIONS = (*WRITTEN, ENDPOINTS)
WITHOUT_KEYS = "usual"  # keys have a page of their own, and there may be thousands
TYPED_SECONDS = 0.4
EXAMPLE = """\
# providers:
#   - {name: openai, kind: openai, url: "https://api.openai.com/v1", secret: openai-key}
# limits:
#   - {level: team, counted: cost, amount: 50, window: month}
# prices:
#   - {provider: openai, model: my-fine-tune, input: 3, output: 12, since: 2026-01-01}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    version: int
    text: str


def load(services: Services, wanted: str) -> Loaded:
    number, document = services.provision.version(), services.configuration.document()
    names = [name for name in SECTIONS if name == wanted or (wanted == WITHOUT_KEYS and name != "keys")]
    told = {name: document[name] for name in names}
    shown = text_of(told) if any(told.values()) or wanted != WITHOUT_KEYS else EXAMPLE
    return Loaded(version=number, text=shown)


async def show(visit: Visit, section: str = "") -> None:
    ui.page_title(f"{visit.say('gateway.tab_edit')} · Headrace")
    wanted = section if section in SECTIONS else WITHOUT_KEYS
    data = await first_look(lambda: load(visit.services, wanted))
    if data is None:
        return
    desk = _Desk(visit, wanted, data)
    keep_fresh(visit.services.provision.version, desk.show_version, seconds=2.0)


class _Desk:
    def __init__(self, visit: Visit, wanted: str, data: Loaded) -> None:
        self._visit, self._wanted, self._loaded, say = visit, wanted, data, visit.say
        self._text = data.text
        self._lines: tuple[Line, ...] = ()
        head = page_head(say("gateway.tab_edit"), say("editor.sentence"), crumb=(say("place.gateway"), "/gateway"))
        with head.acts:
            copy_button(visit, APPLY, APPLY, kind="ghost")
            self._apply = button(say("editor.apply"), self._ask, kind="primary", icon_name="check")
        self._apply.props["disabled"] = True
        gateway_tabs(visit, "/gateway/edit")
        self._newer = tag("div", "notice hint-note", role="status")
        with self._newer:
            self._newer_words = text("span", "", "")
            button(say("editor.load"), self._load_anew, kind="small push")
        self._newer.set_visibility(False)
        with tag("div", "desk"):
            with panel(say("editor.text"), flush=True) as box:
                self._draw_tools(box.head)
                self._draw_text(data.text)
            with panel(say("editor.would"), classes="would"):
                self._says = tag("div", "stack stack-12", aria_live="polite")
        self._show_lines(())

    def _draw_tools(self, head: ui.element) -> None:
        say = self._visit.say
        sections = {WITHOUT_KEYS: say("editor.usual")} | {n: self._visit.name("sections", n) for n in SECTIONS}
        with head, tag("div", "row-flex push"):
            choice(sections, self._wanted, self._choose, label=say("editor.section"))
            button(say("editor.download"), self._download, kind="ghost small", icon_name="download")

    def _draw_text(self, content: str) -> None:
        self._box = tag(
            "textarea", "editor", spellcheck="false", autocapitalize="off", wrap="off",
            aria_label=self._visit.say("editor.text"), defaultValue=content, data_version=self._loaded.version,
        )  # fmt: skip
        self._box.on("input", self._typed, js_handler=VALUE_OF_TARGET, throttle=TYPED_SECONDS, leading_events=False)

    def _choose(self, section: str) -> None:
        ui.navigate.to("/gateway/edit" if section == WITHOUT_KEYS else f"/gateway/edit?section={section}")

    def _load_anew(self) -> None:
        ui.navigate.reload()

    def _download(self) -> None:
        ui.download.content(self._text, "gateway.yaml", "application/yaml")

    def show_version(self, number: int) -> None:
        newer = number > self._loaded.version
        self._newer.set_visibility(newer)
        if newer:
            said = {"now": number, "then": self._loaded.version}
            self._newer_words.set_text(self._visit.say("editor.newer", **said))

    async def _typed(self, event: Any) -> None:
        self._text = given = str(event.args)
        try:
            lines = await run.io_bound(self._compare, given)
        except HeadraceError as error:
            if given == self._text:
                self._show_problem(error)
            return
        if lines is not None and given == self._text and not self._says.is_deleted:
            self._show_lines(lines)

    def _compare(self, given: str) -> tuple[Line, ...]:
        return self._visit.services.configuration.compare(sections_of(given, self._visit.say("editor.text")))

    def _show_problem(self, error: HeadraceError) -> None:
        self._lines = ()
        self._apply.props["disabled"] = True
        self._says.clear()
        with self._says:
            problem(error.sentence())
            if error.field:
                text("p", "mono faint", error.field)

    def _show_lines(self, lines: tuple[Line, ...]) -> None:
        self._lines = lines
        if lines:
            self._apply.props.pop("disabled", None)
        else:
            self._apply.props["disabled"] = True
        self._apply.update()
        self._says.clear()
        with self._says:
            show_diff(self._visit, lines, nothing=self._visit.say("editor.nothing"))
            if not lines:
                text("p", "faint small", self._visit.say("editor.hint"))

    def _ask(self) -> None:
        visit, given, done = self._visit, self._text, list[Applied]()

        def act(why: str) -> None:
            sections = sections_of(given, visit.say("editor.text"))
            expected = self._loaded.version
            done.append(visit.services.configuration.apply(sections, actor=visit.actor, reason=why, expected=expected))

        ask_with_diff(
            visit,
            title=visit.say("editor.ask"),
            sentence=visit.say("editor.ask_means"),
            lines=self._lines,
            yes=visit.say("editor.apply"),
            act=act,
            done=lambda: self._applied(done[-1]),
        )

    def _applied(self, done: Applied) -> None:
        visit = self._visit
        self._loaded = Loaded(version=done.version, text=self._text)
        self._show_lines(())
        toast(visit, visit.say("editor.applied", version=done.version))
        if done.keys:
            shown = [(made.key.name, made.secret.reveal()) for made in done.keys]
            title = visit.count("editor.keys", len(shown))
            show_secrets(visit, title, visit.say("keys.secret_once"), shown, kept=visit.say("webhook.secret_kept"))
