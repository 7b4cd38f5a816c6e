from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.messages_taken import MessagesTaken
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    app: str,
    *,
    body: Any,
    atomic: bool | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    params: dict[str, Any] = {}

    params["atomic"] = atomic

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v1/apps/{app}/messages".format(
            app=quote(str(app), safe=""),
        ),
        "params": params,
    }

    _kwargs["json"] = body

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> MessagesTaken | Problem | None:
    if response.status_code == 202:
        response_202 = MessagesTaken.from_dict(response.json())

        return response_202

    if response.status_code == 400:
        response_400 = Problem.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    if response.status_code == 408:
        response_408 = Problem.from_dict(response.json())

        return response_408

    if response.status_code == 409:
        response_409 = Problem.from_dict(response.json())

        return response_409

    if response.status_code == 413:
        response_413 = Problem.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Problem.from_dict(response.json())

        return response_415

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = Problem.from_dict(response.json())

        return response_429

    if response.status_code == 431:
        response_431 = Problem.from_dict(response.json())

        return response_431

    if response.status_code == 500:
        response_500 = Problem.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[MessagesTaken | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    app: str,
    *,
    client: AuthenticatedClient,
    body: Any,
    atomic: bool | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[MessagesTaken | Problem]:
    """Send messages

     Any JSON document is one message; `application/x-ndjson` has one a line. 202 when everything good in
    the body is durable; a worker persists it within moments. `Location` (of one message) is where it is
    found.

    Args:
        app (str):
        atomic (bool | Unset):
        idempotency_key (str | Unset):
        body (Any): Any JSON document.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[MessagesTaken | Problem]
    """

    kwargs = _get_kwargs(
        app=app,
        body=body,
        atomic=atomic,
        idempotency_key=idempotency_key,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    app: str,
    *,
    client: AuthenticatedClient,
    body: Any,
    atomic: bool | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> MessagesTaken | Problem | None:
    """Send messages

     Any JSON document is one message; `application/x-ndjson` has one a line. 202 when everything good in
    the body is durable; a worker persists it within moments. `Location` (of one message) is where it is
    found.

    Args:
        app (str):
        atomic (bool | Unset):
        idempotency_key (str | Unset):
        body (Any): Any JSON document.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        MessagesTaken | Problem
    """

    return sync_detailed(
        app=app,
        client=client,
        body=body,
        atomic=atomic,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    app: str,
    *,
    client: AuthenticatedClient,
    body: Any,
    atomic: bool | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[MessagesTaken | Problem]:
    """Send messages

     Any JSON document is one message; `application/x-ndjson` has one a line. 202 when everything good in
    the body is durable; a worker persists it within moments. `Location` (of one message) is where it is
    found.

    Args:
        app (str):
        atomic (bool | Unset):
        idempotency_key (str | Unset):
        body (Any): Any JSON document.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[MessagesTaken | Problem]
    """

    kwargs = _get_kwargs(
        app=app,
        body=body,
        atomic=atomic,
        idempotency_key=idempotency_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    app: str,
    *,
    client: AuthenticatedClient,
    body: Any,
    atomic: bool | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> MessagesTaken | Problem | None:
    """Send messages

     Any JSON document is one message; `application/x-ndjson` has one a line. 202 when everything good in
    the body is durable; a worker persists it within moments. `Location` (of one message) is where it is
    found.

    Args:
        app (str):
        atomic (bool | Unset):
        idempotency_key (str | Unset):
        body (Any): Any JSON document.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        MessagesTaken | Problem
    """

    return (
        await asyncio_detailed(
            app=app,
            client=client,
            body=body,
            atomic=atomic,
            idempotency_key=idempotency_key,
        )
    ).parsed
