"""Requirements of strangers: names, versions, extras and markers, nothing else that pip would obey."""

import pytest

from scorers.hosted.requirements import MAX_LINES, InvalidRequirements, read

HOSTILE = (
    "-r /etc/shadow",
    "--index-url http://evil",
    "--extra-index-url http://e",
    "-e .",
    "./x.whl",
    "/etc/x",
    "file:///etc/x",
    "x @ file:///etc/x",
    "x @ https://e/${A}",
    "git+ssh://x",
    "x==1 --config-settings a=b",
    "x==1 --hash=sha256:00",
    "x; python_version<'${HOME}'",
    "x\\",
    "..\\x",
    "x==1\x00",
    "-c c.txt",
    "--trusted-host e",
    "x==1 --global-option=y",
)


@pytest.mark.parametrize("line", HOSTILE)
def test_a_hostile_line_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(InvalidRequirements, match=r"^line 2: "):
        read(f"openai\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "--no-binary :all:",
        "--find-links /tmp",
        "x\r--index-url http://evil",
        "x\x0b--index-url http://evil",
        "x\x0c-r /etc/passwd",
        "x\x85-r y",
        "x\u2028-r y",
        "\u0440ydantic",
        "x" * 600,
        "x @ x",
        "x[" + "a," * 200 + "]",
        "$(id)",
        "`id`",
        "x==1 ; os_name == 'a' or $HOME",
        "https://e/x-1.0-py3-none-any.whl",
    ],
)
def test_further_ways_to_say_more_than_a_name_are_refused(line: str) -> None:
    with pytest.raises(InvalidRequirements, match=r"^line 1: "):
        read(line)


def test_honest_lines_pass_with_comments_extras_and_markers() -> None:
    text = "pydantic>=2,<3\r\n# c\n\nnumpy==1.26.4 ; python_version>='3.9'   # why\nrapidfuzz[all]~=3.0\n"
    assert read(text).lines == ("pydantic<3,>=2", 'numpy==1.26.4; python_version >= "3.9"', "rapidfuzz[all]~=3.0")


def test_what_the_sandbox_brings_itself_is_not_installed_and_said() -> None:
    found = read("judgeval==0.22.2\nVedette\nopenai\n")
    assert found.lines == ("openai",)
    assert [note.split(" is served")[0] for note in found.notes] == ["line 1: 'judgeval==0.22.2'", "line 2: 'Vedette'"]


def test_pydantic_is_added_when_the_file_imports_it_and_does_not_ask_for_it() -> None:
    assert read("openai", {"pydantic"}).lines == ("openai", "pydantic")
    assert read("Pydantic<2", {"pydantic"}).lines == ("Pydantic<2",)
    assert read("", {"openai"}) == read("")


def test_a_package_that_is_asked_for_twice_and_too_many_are_refused() -> None:
    with pytest.raises(InvalidRequirements, match="line 2: Open_AI is asked for twice"):
        read("open-ai\nOpen_AI\n")
    with pytest.raises(InvalidRequirements, match=f"at most {MAX_LINES}"):
        read("\n".join(f"p{number}" for number in range(MAX_LINES + 1)))
    with pytest.raises(InvalidRequirements, match="at most 65536"):
        read("#" * 70_000)
