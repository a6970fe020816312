"""The page's own arithmetic: axes, smoothing, thinning, places in JSON, the event stream's parser."""

import math

import pytest
from playwright.async_api import expect

from .reader import Reader

EN_DASH = "\N{EN DASH}"


async def test_events_are_parsed_however_they_are_cut(reader: Reader) -> None:
    await reader.open()
    stream = 'retry: 2000\n\n: ping\n\nid: 7\nevent: job.note\ndata: {"a":\r\ndata: 1}\r\n\r\ndata:x\n\n: end\n\n'
    expected = [["7", "job.note", '{"a":\n1}'], ["7", "message", "x"]]
    body = """({ Parser }, [stream, size]) => {
        const parser = new Parser();
        const found = [];
        for (let at = 0; at < stream.length; at += size)
            for (const { id, type, data } of parser.take(stream.slice(at, at + size))) found.push([id, type, data]);
        return found;
    }"""
    for size in (1, 2, 3, 7, 1000):
        assert await reader.module("sse.js", body, [stream, size]) == expected, size


async def test_problems_are_placed(reader: Reader) -> None:
    await reader.open()
    text = '{\n "a": {"b": [1, {"odd key": "x\\"}"}]},\n "c": null, "c2": [\n  true\n ]\n}'
    paths = [
        "$",
        "$.a.b[0]",
        '$.a.b[1]["odd key"]',
        "$.c2[0]",
        "$.c",
        "$.a.nothing",
        "$.zzz",
        "$.c2[9].d",
    ]
    body = """({ places, placeOf }, [text, paths]) => {
        const found = places(text);
        return paths.map(path => { const { from, to } = placeOf(found, path); return text.slice(from, to); });
    }"""
    shown = await reader.module("json_places.js", body, [text, paths])
    assert shown[0] == text
    assert shown[1:5] == ["1", '"odd key": "x\\"}"', "true", '"c": null']
    assert shown[5].startswith('"a": {')
    assert shown[6] == text
    assert shown[7].startswith('"c2": [')
    broken = await reader.module("json_places.js", body, ['{"a": 1, "b": [2,', ["$.a"]])
    assert broken == ['"a": 1']


async def test_axes_have_round_values(reader: Reader) -> None:
    await reader.open()
    body = "({ ticks, logTicks, timeTicks }, [kind, low, high, wanted]) => ({ ticks, logTicks, timeTicks })[kind](low, high, wanted)"
    cases = [
        (["ticks", 0, 1, 4], [0, 0.5, 1]),
        (["ticks", 4.67, 5.98, 4], [5, 5.5]),
        (["ticks", 1, 240, 12], [20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 220, 240]),
        (["logTicks", 0.001, 1, 5], [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1]),
        (["timeTicks", 0, 200, 5], [0, 60, 120, 180]),
        (["ticks", 3, 3, 4], [3]),
    ]  # fmt: skip
    for arguments, expected in cases:
        assert await reader.module("scale.js", body, arguments) == pytest.approx(expected), (
            arguments
        )


async def test_curves_resume_smooth_and_thin(reader: Reader) -> None:
    await reader.open()
    body = """({ Curves, smooth, thin, nearest }) => {
        const curves = new Curves();
        const add = (step, attempt, y) => curves.add({ step, attempt, timestamp: '2026-01-01T00:00:00Z', values: { loss: y }, sequence: step });
        for (let step = 1; step <= 10; step += 1) add(step, 1, step);
        for (let step = 6; step <= 8; step += 1) add(step, 2, -step);
        const line = curves.over('step', 'loss');
        const many = Array.from({ length: 10000 }, (_, x) => ({ x, y: x === 5000 ? 99 : Math.sin(x) }));
        const few = thin(many, x => x / 100, 100);
        return {
            steps: line.map(p => p.step), ys: line.map(p => p.y), last: curves.last,
            smooth: smooth([1, 1, 1, 5].map((y, x) => ({ x, y })), 0.5).map(p => p.y),
            few: few.length, peak: Math.max(...few.map(p => p.y)), ordered: few.every((p, i) => !i || few[i - 1].x < p.x),
            near: [nearest(line, 5.4), nearest(line, -1), nearest(line, 99)],
        };
    }"""
    found = await reader.module("curves.js", body)
    assert found["steps"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert found["ys"] == [1, 2, 3, 4, 5, -6, -7, -8]
    assert found["last"] == 10
    assert found["smooth"] == pytest.approx([1, 1, 1, 1 + 4 * 0.5 / (1 - 0.5**4)])
    assert found["few"] <= 202
    assert (found["peak"], found["ordered"], found["near"]) == (99, True, [4, 0, 7])


async def test_numbers_read_well(reader: Reader) -> None:
    await reader.open()
    values = [0, 1.23456, 12345.6, 0.000123, 2e-4, 1.5e7, -3.2, None, math.inf]
    assert await reader.module("format.js", "({ number }, values) => values.map(number)", values) == [
        "0", "1.235", "12,346", "1.23e-4", "2e-4", "1.5e7", "-3.2", EN_DASH, EN_DASH
    ]  # fmt: skip
    spans = [0, 59.6, 125, 3700, 90000]
    assert await reader.module("format.js", "({ duration }, values) => values.map(duration)", spans) == [
        "0 s", "1 min 0 s", "2 min 5 s", "1 h 1 min", "1 d 1 h"
    ]  # fmt: skip
    await expect(reader.page.get_by_label("Token")).to_be_visible()
