"""The spawn form in a real browser: with its script and without, by keyboard, in every size."""

from __future__ import annotations

import pytest
from harness import browser
from playwright.sync_api import expect
from site_fixture import install_clouds, phases, rows

pytestmark = [pytest.mark.hub, pytest.mark.browser]

SIMPLE = {"class": "jupyterhub.spawner.SimpleLocalProcessSpawner"}
TEMPLATES = [
    {
        "name": "Flexible machines",
        "resource_type": "virtual_machine",
        "providers": ["cloud"],
        "spawner": SIMPLE,
        "limits": {
            "cpu": {"min": 1, "max": 16, "step": 1, "default": 2},
            "memory": {"min": 4, "max": 128, "step": 4, "default": 16},
            "gpu": {"max": 2},
            "lifetime": {"min": 30, "max": 1440, "step": 30, "default": 480},
        },
    },
    {
        "name": "Notebook containers",
        "resource_type": "container",
        "providers": ["cluster", "cloud"],
        "spawner": SIMPLE,
        "storage": "keep",
        "limits": {
            "cpu": {"min": 0.5, "max": 4, "step": 0.5, "default": 1},
            "memory": {"min": 2, "max": 2},
            "gpu": None,
            "lifetime": {"max": 720},
        },
    },
    {
        "name": "Batch nodes",
        "resource_type": "container",
        "providers": ["cluster"],
        "spawner": SIMPLE,
        "allowed_groups": ["nobody"],
    },
]
DEPLOYMENTS = {
    "virtual_machine": [
        {"name": "Ubuntu 24.04"},
        {"name": "Ubuntu 24.04 with CUDA", "full": "no GPU is free"},
    ],
    "container": [{"name": "python-notebook"}, {"name": "r-notebook", "provider": "cluster"}],
}
CONFIG = "c.MultipleSpawner.enabled_plugins = ['local', 'clouds']\n"
CHOICE = "Where your server runs"
PLACES = ("Provider", "Type", "Deployment")
AMOUNTS = ("CPUs", "Memory (GB)", "GPUs", "Lifetime (minutes)")


@pytest.fixture
def hub(site, tmp_path):
    def start(config="", templates=TEMPLATES, deployments=DEPLOYMENTS):
        return site(
            CONFIG + config,
            templates=templates,
            deployments=deployments,
            env={"PYTHONPATH": install_clouds(tmp_path / "site")},
        )

    return start


@pytest.fixture
def form(hub, page):
    """Opens the form, as ada."""
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def open_form(*args, **kwargs):
        started = hub(*args, **kwargs)
        browser.login(page, started.url, "ada")
        expect(page.get_by_label("Deployment", exact=True)).to_be_visible()
        return started

    yield open_form
    assert not errors


def field(page, label):
    return page.get_by_label(label, exact=True)


def values(page, labels):
    return [field(page, label).input_value() for label in labels]


def options(page, label):
    return field(page, label).locator("option").all_inner_texts()


def limits(page, label):
    found = field(page, label)
    return [found.get_attribute(name) for name in ("min", "max", "step")]


def start(page):
    page.get_by_role("button", name="Start").click()


def test_the_lists_follow_each_other_and_the_fields_the_choice(form, page):
    form()
    about = page.locator("#multiplespawner-about")
    assert page.locator("#multiplespawner-choice").is_hidden()
    assert page.get_by_role("group", name=CHOICE).is_visible()
    assert values(page, PLACES) == ["cloud", "virtual_machine", "Ubuntu 24.04"]
    assert options(page, "Provider") == ["cloud", "cluster"]
    assert options(page, "Type") == ["Virtual machine", "Container"]
    assert values(page, AMOUNTS) == ["2", "16", "0", "480"]
    assert limits(page, "CPUs") == ["1", "16", "1"]
    assert limits(page, "Lifetime (minutes)") == ["30", "1440", "30"]
    expect(about).to_have_text(
        "Flexible machines The server ends 8 h after its start, or when you stop it."
        " At the end the machine is deleted with every file on it."
    )

    field(page, "Provider").select_option("cluster")
    assert values(page, PLACES) == ["cluster", "container", "python-notebook"]
    assert options(page, "Type") == ["Container"]
    assert options(page, "Deployment") == ["python-notebook", "r-notebook"]
    assert [field(page, label).is_visible() for label in AMOUNTS] == [True, False, False, True]
    assert limits(page, "CPUs") == ["0.5", "4", "0.5"]
    assert values(page, ["CPUs", "Lifetime (minutes)"]) == ["1", "720"]
    expect(field(page, "CPUs")).to_have_accessible_description(
        "0.5 to 4 in steps of 0.5. Default: 1."
    )
    expect(about).to_have_text(
        "Notebook containers It has 2 GB of memory. The server ends 12 h after its start, or when"
        " you stop it. At the end the server is stopped. Your files stay; running programs and"
        " unsaved work are lost."
    )
    field(page, "Lifetime (minutes)").fill("90")
    expect(about).to_contain_text("The server ends 1 h 30 min after its start")

    # The type that both have stays, and so does what both call the same.
    field(page, "Provider").select_option("cloud")
    assert values(page, PLACES) == ["cloud", "container", "python-notebook"]
    field(page, "Type").select_option("Virtual machine")
    assert values(page, PLACES) == ["cloud", "virtual_machine", "Ubuntu 24.04"]


def test_what_was_typed_is_kept_as_far_as_it_is_allowed(form, page):
    form()
    field(page, "CPUs").fill("13")
    field(page, "Provider").select_option("cluster")
    assert values(page, ["CPUs"]) == ["4"]
    field(page, "Provider").select_option("cloud")
    field(page, "Type").select_option("Virtual machine")
    assert values(page, ["CPUs", "Memory (GB)"]) == ["13", "16"]
    field(page, "CPUs").fill("0.7")
    field(page, "Type").select_option("Container")
    assert values(page, ["CPUs"]) == ["0.5"]


def test_a_choice_is_started_with_what_belongs_to_it(form, page):
    started = form()
    field(page, "Provider").select_option("cluster")
    field(page, "Deployment").select_option("r-notebook")
    field(page, "CPUs").fill("1.5")
    start(page)
    page.wait_for_url("**/user/ada/**")
    assert started.client.server("ada")["user_options"] == {
        "provider": "cluster",
        "resource_type": "container",
        "deployment": "r-notebook",
        "cpu": 1.5,
        "lifetime": 720,
    }
    assert rows(started, "provider", "deployment", "template") == [
        ("cluster", "r-notebook", "Notebook containers")
    ]
    started.client.stop("ada")
    page.goto(f"{started.url}/hub/spawn")
    assert values(page, PLACES) == ["cluster", "container", "r-notebook"]
    assert values(page, ["CPUs", "Lifetime (minutes)"]) == ["1.5", "720"]
    # Another one begins with its own defaults, and the last one is there again.
    field(page, "Deployment").select_option("python-notebook")
    assert values(page, ["CPUs"]) == ["1"]
    field(page, "Deployment").select_option("r-notebook")
    assert values(page, ["CPUs"]) == ["1.5"]


def test_what_cannot_be_had_is_shown_with_the_reason(form, page, screenshot):
    form()
    deployment = field(page, "Deployment")
    assert options(page, "Deployment")[1] == "Ubuntu 24.04 with CUDA: no GPU is free"
    assert deployment.locator("option").nth(1).is_disabled()
    screenshot("form-unavailable")


def test_where_a_provider_has_nothing_its_place_says_so(form, page, screenshot):
    full = [{"name": "Ubuntu", "full": "no machine is free"}]
    started = form(deployments={**DEPLOYMENTS, "virtual_machine": full})
    # What can be had is what stands there at first.
    assert values(page, PLACES) == ["cluster", "container", "python-notebook"]
    field(page, "Provider").select_option("cloud")
    assert values(page, PLACES) == ["cloud", "container", "python-notebook"]
    field(page, "Type").select_option("Virtual machine")
    assert values(page, ["Deployment"]) == [""]
    assert options(page, "Deployment") == ["None available", "Ubuntu: no machine is free"]
    assert not any(field(page, label).is_visible() for label in AMOUNTS)
    expect(page.get_by_role("status")).to_have_text(
        "Nothing can be had here at present The reason: no machine is free"
    )
    screenshot("form-nothing-here")
    start(page)
    assert field(page, "Deployment").evaluate("list => list.validity.valueMissing")
    assert phases(started) == []
    field(page, "Type").select_option("Container")
    assert values(page, PLACES) == ["cloud", "container", "python-notebook"]


def test_where_nothing_can_be_had_the_form_cannot_be_sent(form, page):
    full = {"virtual_machine": [{"name": "Ubuntu", "full": "no machine is free"}]}
    started = form(deployments=full)
    start(page)
    assert field(page, "Deployment").evaluate("list => list.validity.valueMissing")
    assert phases(started) == []


def test_by_keyboard_alone(form, page):
    started = form()
    field(page, "Provider").focus()
    page.keyboard.press("ArrowDown")
    assert values(page, PLACES) == ["cluster", "container", "python-notebook"]
    page.keyboard.press("Tab")
    expect(field(page, "Type")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    expect(field(page, "Deployment")).to_have_value("r-notebook")
    expect(field(page, "Deployment")).to_be_focused()
    page.keyboard.press("Tab")
    expect(field(page, "CPUs")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(field(page, "CPUs")).to_have_value("1.5")
    page.keyboard.press("Tab")
    expect(field(page, "Lifetime (minutes)")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Start")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/user/ada/**")
    assert started.client.server("ada")["user_options"]["cpu"] == 1.5
    started.client.stop("ada")


def test_a_reader_hears_the_name_of_each_field_and_what_changed(form, page):
    form()
    for label in PLACES:
        expect(page.get_by_role("combobox", name=label, exact=True)).to_be_visible()
    for label in AMOUNTS:
        expect(page.get_by_role("spinbutton", name=label, exact=True)).to_be_visible()
    assert page.get_by_role("group", name="How much and how long").is_visible()
    expect(page.get_by_role("status")).to_contain_text("Flexible machines")


@pytest.fixture
def without_scripts(hub, chromium):
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, java_script_enabled=False
    )
    context.set_default_timeout(30_000)
    page = context.new_page()

    def open_form(*args, **kwargs):
        started = hub(*args, **kwargs)
        browser.login(page, started.url, "ada")
        expect(field(page, CHOICE)).to_be_visible()
        return started, page

    return open_form


def test_without_scripts_one_list_has_every_choice(without_scripts):
    started, page = without_scripts()
    assert options(page, CHOICE) == [
        "Ubuntu 24.04 (Flexible machines)",
        "Ubuntu 24.04 with CUDA (Flexible machines): no GPU is free",
        "python-notebook (Notebook containers)",
        "r-notebook (Notebook containers)",
        "python-notebook (Notebook containers)",
    ]
    groups = field(page, CHOICE).locator("optgroup")
    assert [group.get_attribute("label") for group in groups.all()] == [
        "Virtual machine at cloud",
        "Container at cluster",
        "Container at cloud",
    ]
    assert limits(page, "CPUs") == ["0.5", "16", "any"]
    about = page.locator("#multiplespawner-about")
    expect(about).to_contain_text("Notebook containers, Container at cluster")
    expect(about).to_contain_text("At the end the machine is deleted with every file on it.")
    browser.screenshot(page, "form-without-scripts")

    field(page, CHOICE).select_option("r-notebook (Notebook containers)")
    field(page, "CPUs").fill("13")
    start(page)
    expect(page.locator(".spawn-error-msg")).to_have_text(
        "Error: cpu: allowed is 0.5 to 4 in steps of 0.5, not 13."
    )
    assert field(page, CHOICE).locator("option:checked").inner_text().startswith("r-notebook")
    assert values(page, ["CPUs", "Memory (GB)"]) == ["13", ""]
    browser.screenshot(page, "form-without-scripts-refused")
    field(page, "CPUs").fill("2.5")
    start(page)
    page.wait_for_url("**/user/ada/**")
    assert started.client.server("ada")["user_options"] == {
        "provider": "cluster",
        "resource_type": "container",
        "deployment": "r-notebook",
        "cpu": 2.5,
    }
    started.client.stop("ada")


STRICT = """
c.JupyterHub.tornado_settings = {
    "headers": {"Content-Security-Policy": "default-src 'self'; object-src 'none'"}
}
"""


def test_a_strict_policy_allows_all_that_the_form_needs(hub, page):
    """JupyterHub's own pages have scripts inside, which such a policy forbids; ours have none."""
    started = hub(STRICT)
    browser.login(page, started.url, "ada")
    field(page, "Provider").select_option("cluster")
    assert values(page, PLACES) == ["cluster", "container", "python-notebook"]
    assert [field(page, label).is_visible() for label in AMOUNTS] == [True, False, False, True]


def test_nothing_comes_from_elsewhere(form, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    started = form()
    assert len([url for url in asked if "/multiplespawner/static/form.js" in url]) == 1
    assert [url for url in asked if not url.startswith((started.url, "data:"))] == []


def test_a_thousand_deployments_can_be_chosen_from(form, page, screenshot):
    names = [f"image {number:03}" for number in range(1000)]
    started = form(deployments={"container": [{"name": name} for name in names]})
    assert options(page, "Deployment") == names
    spent = page.evaluate(
        """() => {
            const began = performance.now();
            const list = document.getElementById("multiplespawner-provider");
            list.value = "cloud";
            list.dispatchEvent(new Event("change"));
            return performance.now() - began;
        }"""
    )
    assert values(page, PLACES) == ["cloud", "container", "image 000"]
    assert spent < 500
    field(page, "Deployment").select_option("image 777")
    screenshot("form-thousand")
    start(page)
    page.wait_for_url("**/user/ada/**")
    assert rows(started, "deployment") == [("image 777",)]
    started.client.stop("ada")


def test_the_form_fits(hub, chromium):
    started = hub()
    for scheme in ("light", "dark"):
        for width in (1280, 400):
            context = chromium.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, device_scale_factor=1
            )
            page = context.new_page()
            browser.login(page, started.url, "ada")
            field(page, "Deployment").wait_for()
            browser.screenshot(page, f"form-clouds-{scheme}-{width}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("html").get_attribute("data-bs-theme") == scheme
            context.close()
