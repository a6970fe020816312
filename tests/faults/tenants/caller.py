"""One tenant at a time tries everything; what must come of each call is the oracle's to say."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from faults.tenants import spellings
from faults.tenants.oracle import foreign_marks, is_inside
from faults.tenants.world import ADMIN, SHARED, Tenant, Token, World
from support.asgi import Answered

VIEWS = ("", "/events", "/metrics", "/logs", "/logs?follow=true", "/checkpoints", "/artifacts", "/webhooks")  # fmt: skip
DEEDS = ("/cancel", "/retry", "/webhooks/replay", "")
"""The last is DELETE."""
FIELDS = ("output_uri", "log_uri", "source", "weights_url", "model_name")
SUCCEEDED = SHARED[2]
"""Nothing that a client does changes such a job."""
HANGS_S = 15.0
NOT_THERE = frozenset({400, 404, 405})


@dataclass
class Caller:
    """Counts what it tried; `violations` are sentences."""

    world: World
    chance: random.Random
    tried: int = 0
    violations: list[str] = field(default_factory=list[str])
    statuses: dict[int, int] = field(default_factory=dict[int, int])
    submitted: int = 0

    async def batch(self, count: int) -> None:
        """`count` calls of one tenant; the others have afterwards what they had before."""
        me = self.chance.choice(self.world.tenants)
        others = [tenant for tenant in self.world.tenants if tenant is not me]
        before = [await self.world.picture(other) for other in others]
        self.world.opened.clear()
        for _ in range(count):
            await self._one(me, self.chance.choice(others))
        for other, was in zip(others, before, strict=True):
            if await self.world.picture(other) != was:
                self.violations.append(f"{me.name!r} changed what {other.name!r} has")
        for uri, auth in self.world.opened:
            if not is_inside(uri, me.places) or (auth and auth.role_arn != me.role_arn):
                self.violations.append(f"a store was opened for {me.name!r} that is not its own")

    async def _one(self, me: Tenant, other: Tenant) -> None:
        token = self.chance.choice(me.tokens)
        way = self.chance.choices(
            (self._look, self._deed, self._list, self._submit, self._tokens, self._attempt),
            (30, 20, 12, 28, 4, 6),
        )[0]
        try:
            async with asyncio.timeout(HANGS_S):
                await way(me, other, token)
        except TimeoutError:  # a stream of what is not its own, say
            self.violations.append(f"{me.name!r}: a call of {way.__name__} did not end")
        self.tried += 1

    async def _call(
        self, me: Tenant, token: str, method: str, target: str, body: Any = None, accept: str = ""
    ) -> Answered:
        answer = await self.world.call(
            token, method, target, body, accept or self.chance.choice(("application/json", "*/*"))
        )
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        whole = answer.body + repr(answer.headers).encode()
        if foreign_marks(whole, me.mark, self.world.marks):
            self._complain(f"{method} {target} showed what another tenant wrote", me, answer)
        if answer.status >= 500:
            self._complain(f"{method} {target} broke", me, answer)
        return answer

    def _complain(self, text: str, me: Tenant, answer: Answered) -> None:
        self.violations.append(f"{me.name!r}: {text}: {answer.status} {answer.body[:200]!r}")

    def _job_id(self, me: Tenant, other: Tenant) -> tuple[str, str]:
        """As it is written in the path, and whose it is: mine, theirs, or nobody's (mine to ask for and not there)."""
        plain = self.chance.choice((*SHARED, *other.job_ids, me.job_ids[-1], f"own-{other.mark}"))
        written = spellings.job_id(self.chance, plain)
        named = unquote(written)
        if named in me.job_ids:
            return written, "mine"
        return written, "theirs" if other.mark in named else "nobody's"

    async def _look(self, me: Tenant, other: Tenant, token: Token) -> None:
        written, whose = self._job_id(me, other)
        view = self.chance.choice(VIEWS)
        shown = "application/json"
        if whose != "theirs" and unquote(written) != SUCCEEDED:  # streams of what is not over go on
            view = view.replace("?follow=true", "")
        elif view == "/events":
            shown = self.chance.choice(("application/json", "text/event-stream"))
        presented = token.text if self.chance.random() > 0.03 else self._bad_token(token)
        answer = await self._call(me, presented, "GET", f"/train/{written}{view}", accept=shown)
        if presented != token.text:
            self._expect(answer, {401} | NOT_THERE, f"GET {view} with a bad token", me)
        elif whose == "mine":
            self._expect(answer, {200, 204}, f"GET {view} of its own {written}", me)
            if view in {"", "/logs", "/events"} and me.mark.encode() not in answer.body:
                self._complain(f"GET {view} of its own is not its own", me, answer)
        elif whose == "theirs":
            self._expect(answer, NOT_THERE, f"GET {view} of {written}", me)

    async def _deed(self, me: Tenant, other: Tenant, token: Token) -> None:
        written, whose = self._job_id(me, other)
        deed = self.chance.choice(DEEDS)
        if whose != "theirs" and deed == "":
            deed = "/cancel"
        body = None
        if deed == "/retry" and self.chance.random() < 0.5:
            body = self.world.request(me, unquote(written))
        elif deed == "/webhooks/replay":
            stolen = self.chance.sample(other.deliveries, 2)
            body = self.chance.choice(
                (None, {"ids": stolen}, {"webhook_url": f"https://hooks.example/{me.mark}"})
            )
        method = "POST" if deed else "DELETE"
        answer = await self._call(me, token.text, method, f"/train/{written}{deed}", body)
        if token.read_only:
            self._expect(answer, {403} | NOT_THERE, f"{method} {deed} of a token that reads", me)
        elif whose == "theirs":
            self._expect(answer, NOT_THERE, f"{method} {deed} of {written}", me)
        elif whose == "mine" and deed == "/cancel":
            self._expect(answer, {200}, f"{method} {deed} of its own", me)
        elif body and "ids" in body and answer.status == 202 and answer.json()["replayed"]:
            self._complain("webhooks of others were sent again", me, answer)

    async def _list(self, me: Tenant, other: Tenant, token: Token) -> None:
        target, allowed, empty = self.chance.choice(
            (
                (f"/train?metadata[team]={other.mark}", {200}, True),
                (f"/train?metadata[same]=for%20all&metadata[team]={other.mark}", {200}, True),
                ("/train?metadata[same]=for%20all&limit=200", {200}, False),
                (f"/train?limit={self.chance.randint(1, 200)}", {200}, False),
                (f"/train?after=own-{other.mark}", {400}, None),
                (f"/train?after={self.chance.choice(SHARED)}", {200}, None),
                (f"/train?tenant={other.name}", {400}, None),
                ("/train?status=queued&backend=huggingface-lora", {200}, None),
                (f"/train?metadata[team]=%27%20OR%20tenant=%27{other.name}", {200}, True),
                (f"/train?metadata[team]={other.mark[:-1]}%25", {200}, True),
            )
        )
        answer = await self._call(me, token.text, "GET", target, accept="application/json")
        self._expect(answer, allowed, f"GET {target}", me)
        if answer.status == 200 and empty is not None and (not answer.json()["data"]) != empty:
            self._complain(f"GET {target} gave the wrong jobs", me, answer)

    async def _submit(self, me: Tenant, other: Tenant, token: Token) -> None:
        self.submitted += 1
        body = self.world.request(me, f"s-{self.submitted}")
        if token.backends is not None:
            body["customization"]["method"] = "qlora"
            body["base_model"]["weights_url"] = None
        inside, outside = self.chance.choice(me.places), self.chance.choice(other.places)
        uri = spellings.address(self.chance, inside, outside)
        where = self.chance.choice(FIELDS)
        self._put(body, where, uri)
        path = "/train" if self.chance.random() < 0.9 else "/huggingface-lora/train"
        answer = await self._call(me, token.text, "POST", path, body)
        taken = answer.status in {200, 201}
        fits = token.backends is None or path == "/train"
        if token.read_only and taken:
            self._complain("a token that may only read started a job", me, answer)
        elif taken and not (is_inside(uri, token.prefixes) and fits):
            self._complain(f"{where} {uri!r} lies outside and was taken", me, answer)
        elif uri == f"s3://{me.places[0][5:]}/x" and where != "weights_url" and fits:
            self._expect(answer, {403} if token.read_only else {201}, f"{where} {uri!r}", me)
        if taken and await self.world.store.get_job(other.name, body["job_id"]) is not None:
            self._complain("the job went to another tenant", me, answer)

    def _put(self, body: dict[str, Any], where: str, uri: str) -> None:
        if where in {"output_uri", "log_uri"}:
            body["artifacts"][where] = uri
        elif where == "source":
            body["datasets"][0]["source"] = uri
            body["datasets"][0].pop("auth")
        else:
            body["base_model"] |= {"provider": "custom", "model_name": f"{self._model(body)}"}
            body["base_model"] |= {"weights_url": None, "auth_token": None, where: uri}

    def _model(self, body: dict[str, Any]) -> str:
        return body["artifacts"]["output_uri"]

    async def _tokens(self, me: Tenant, other: Tenant, token: Token) -> None:
        stolen = self.chance.choice(other.tokens).token_id
        method, target, body = self.chance.choice(
            (
                ("GET", "/tokens", None),
                ("GET", f"/tokens?tenant={other.mark}", None),
                ("POST", "/tokens", {"tenant": other.name}),
                ("POST", "/tokens", {"tenant": me.name, "admin": True}),
                ("DELETE", f"/tokens/{stolen}", None),
                ("POST", f"/tokens/{stolen}/rotate", None),
                ("DELETE", f"/tokens/{token.token_id}", None),
            )
        )
        answer = await self._call(me, token.text, method, target, body)
        self._expect(answer, {403}, f"{method} {target}", me)

    async def _attempt(self, me: Tenant, other: Tenant, token: Token) -> None:
        """With the trainer's token of one's own attempt at the attempt of somebody else, and the other way round."""
        mine = self.chance.choice(list(me.attempts))
        theirs = self.chance.choice(list(other.attempts))
        attempt_id, presented, allowed = self.chance.choice(
            (
                (theirs, me.attempts[mine], {401}),
                (theirs, token.text, {401}),
                (theirs, ADMIN, {401}),
                (mine, token.text, {401}),
                (mine, me.attempts[mine], {200, 409}),
            )
        )
        run_uid = f"run-of-{me.mark}"
        word = {"sequence": 1, "at_ms": 1, "event": {"kind": "note", "text": me.mark}}
        call, body = self.chance.choice(
            (
                ("claim", {"run_uid": run_uid}),
                ("events", {"run_uid": run_uid, "events": [word]}),
            )
        )
        target = f"/internal/attempts/{attempt_id}/{call}"
        answer = await self._call(me, presented, "POST", target, body)
        self._expect(answer, allowed, f"POST {call}", me)
        if answer.status == 200 and call == "claim" and me.role_arn.encode() not in answer.body:
            self._complain("the claim gave credentials that are not the job's", me, answer)

    def _bad_token(self, token: Token) -> str:
        return self.chance.choice(
            (token.text[:-1], token.text.upper(), f"{token.text}x", token.token_id, "", "Bearer")
        )

    def _expect(
        self, answer: Answered, allowed: set[int] | frozenset[int], text: str, me: Tenant
    ) -> None:
        if answer.status not in allowed:
            self._complain(text, me, answer)
