"""Tokens: make, list, rotate, revoke. For admins."""

import msgspec
from litestar import Controller, Response, delete, get, post
from litestar.params import FromPath

from tunegate.contract.decode import decode
from tunegate.contract.secret import reveal_hook
from tunegate.contract.tokens import IssuedToken, NewToken, Rotation, TokenList
from tunegate.http.answers import json_answer
from tunegate.http.facade import AnyRequest, body_of, tokens_of
from tunegate.http.operation import Access, Answer, Operation
from tunegate.http.query import TokensQuery, read_query


class TokenController(Controller):
    """`/tokens`."""

    path = "/tokens"
    tags = ("tokens",)

    @post(
        opt=Operation(
            summary="Make a token",
            description="Its secret is in this answer and nowhere else.",
            access=Access.ADMIN,
            changes="adds a token",
            answers={201: Answer("The token and its secret.", IssuedToken)},
            body=NewToken,
        ).opt()
    )
    async def create_token(self, request: AnyRequest) -> Response[bytes]:
        wanted = decode(NewToken, await body_of(request))
        return _issued(await tokens_of(request).issue(wanted))

    @get(
        opt=Operation(
            summary="List tokens, oldest first",
            description="Those that operators made, ended ones too; tokens of the configuration are not among them.",
            access=Access.ADMIN,
            answers={200: Answer("The tokens.", TokenList)},
            query=TokensQuery,
        ).opt()
    )
    async def list_tokens(self, request: AnyRequest) -> Response[bytes]:
        return json_answer(await tokens_of(request).all(read_query(request, TokensQuery).tenant))

    @post(
        "/{token_id:str}/rotate",
        opt=Operation(
            summary="Replace a token",
            description="The new one has the same rights and lifetime; the old one goes on working for `overlap_s`.",
            access=Access.ADMIN,
            changes="adds a token and lets the old one expire",
            answers={201: Answer("The new token and its secret.", IssuedToken)},
            body=Rotation,
            body_optional=True,
            errors=("token_not_found",),
        ).opt(),
    )
    async def rotate_token(self, request: AnyRequest, token_id: FromPath[str]) -> Response[bytes]:
        body = await body_of(request)
        rotation = decode(Rotation, body) if body else Rotation()
        return _issued(await tokens_of(request).rotate(token_id, rotation))

    @delete(
        "/{token_id:str}",
        opt=Operation(
            summary="Revoke a token",
            description="At once here, within seconds at other replicas. Its record stays.",
            access=Access.ADMIN,
            changes="revokes the token",
            answers={204: Answer("Revoked.")},
            errors=("token_not_found",),
        ).opt(),
    )
    async def revoke_token(self, request: AnyRequest, token_id: FromPath[str]) -> None:
        await tokens_of(request).revoke(token_id)


def _issued(issued: IssuedToken) -> Response[bytes]:
    # One of the few places that carry a secret in clear: whoever asked for it needs it, once.
    body = msgspec.json.encode(issued, enc_hook=reveal_hook)
    return Response(body, status_code=201, media_type="application/json")
