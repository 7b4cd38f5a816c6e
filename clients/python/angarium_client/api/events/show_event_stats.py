import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.event_stats import EventStats
from ...models.problem import Problem
from ...models.show_event_stats_by import ShowEventStatsBy
from ...types import UNSET, Response, Unset


def _get_kwargs(
    app: str,
    *,
    by: ShowEventStatsBy | Unset = UNSET,
    step: str | Unset = "1m",
    from_: datetime.datetime | Unset = UNSET,
    to: datetime.datetime | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_by: str | Unset = UNSET
    if not isinstance(by, Unset):
        json_by = by

    params["by"] = json_by

    params["step"] = step

    json_from_: str | Unset = UNSET
    if not isinstance(from_, Unset):
        json_from_ = from_.isoformat()
    params["from"] = json_from_

    json_to: str | Unset = UNSET
    if not isinstance(to, Unset):
        json_to = to.isoformat()
    params["to"] = json_to

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/apps/{app}/events/stats".format(
            app=quote(str(app), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> EventStats | Problem | None:
    if response.status_code == 200:
        response_200 = EventStats.from_dict(response.json())

        return response_200

    if response.status_code == 401:
        response_401 = Problem.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

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
) -> Response[EventStats | Problem]:
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
    by: ShowEventStatsBy | Unset = UNSET,
    step: str | Unset = "1m",
    from_: datetime.datetime | Unset = UNSET,
    to: datetime.datetime | Unset = UNSET,
) -> Response[EventStats | Problem]:
    """Count events

     By type and step of whole minutes; `from` (an hour ago, if not given) and `to` (now) by when events
    became durable, rounded to minutes outwards.

    Args:
        app (str):
        by (ShowEventStatsBy | Unset):
        step (str | Unset):  Default: '1m'.
        from_ (datetime.datetime | Unset):
        to (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[EventStats | Problem]
    """

    kwargs = _get_kwargs(
        app=app,
        by=by,
        step=step,
        from_=from_,
        to=to,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    app: str,
    *,
    client: AuthenticatedClient,
    by: ShowEventStatsBy | Unset = UNSET,
    step: str | Unset = "1m",
    from_: datetime.datetime | Unset = UNSET,
    to: datetime.datetime | Unset = UNSET,
) -> EventStats | Problem | None:
    """Count events

     By type and step of whole minutes; `from` (an hour ago, if not given) and `to` (now) by when events
    became durable, rounded to minutes outwards.

    Args:
        app (str):
        by (ShowEventStatsBy | Unset):
        step (str | Unset):  Default: '1m'.
        from_ (datetime.datetime | Unset):
        to (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        EventStats | Problem
    """

    return sync_detailed(
        app=app,
        client=client,
        by=by,
        step=step,
        from_=from_,
        to=to,
    ).parsed


async def asyncio_detailed(
    app: str,
    *,
    client: AuthenticatedClient,
    by: ShowEventStatsBy | Unset = UNSET,
    step: str | Unset = "1m",
    from_: datetime.datetime | Unset = UNSET,
    to: datetime.datetime | Unset = UNSET,
) -> Response[EventStats | Problem]:
    """Count events

     By type and step of whole minutes; `from` (an hour ago, if not given) and `to` (now) by when events
    became durable, rounded to minutes outwards.

    Args:
        app (str):
        by (ShowEventStatsBy | Unset):
        step (str | Unset):  Default: '1m'.
        from_ (datetime.datetime | Unset):
        to (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[EventStats | Problem]
    """

    kwargs = _get_kwargs(
        app=app,
        by=by,
        step=step,
        from_=from_,
        to=to,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    app: str,
    *,
    client: AuthenticatedClient,
    by: ShowEventStatsBy | Unset = UNSET,
    step: str | Unset = "1m",
    from_: datetime.datetime | Unset = UNSET,
    to: datetime.datetime | Unset = UNSET,
) -> EventStats | Problem | None:
    """Count events

     By type and step of whole minutes; `from` (an hour ago, if not given) and `to` (now) by when events
    became durable, rounded to minutes outwards.

    Args:
        app (str):
        by (ShowEventStatsBy | Unset):
        step (str | Unset):  Default: '1m'.
        from_ (datetime.datetime | Unset):
        to (datetime.datetime | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        EventStats | Problem
    """

    return (
        await asyncio_detailed(
            app=app,
            client=client,
            by=by,
            step=step,
            from_=from_,
            to=to,
        )
    ).parsed
