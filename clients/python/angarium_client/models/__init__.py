"""Contains all the data models used in inputs/outputs"""

from .app import App
from .app_change import AppChange
from .app_page import AppPage
from .audit_entry import AuditEntry
from .audit_entry_actor import AuditEntryActor
from .audit_entry_changes import AuditEntryChanges
from .audit_entry_page import AuditEntryPage
from .audit_target import AuditTarget
from .dead_letter import DeadLetter
from .dead_letter_matches import DeadLetterMatches
from .dead_letter_page import DeadLetterPage
from .delete_letters import DeleteLetters
from .deleted_dead_letters import DeletedDeadLetters
from .event import Event
from .event_page import EventPage
from .event_params_type_0 import EventParamsType0
from .event_stats import EventStats
from .feed_part import FeedPart
from .grant import Grant
from .grant_change import GrantChange
from .grant_page import GrantPage
from .grant_role import GrantRole
from .group import Group
from .group_commit import GroupCommit
from .group_lag import GroupLag
from .group_poll import GroupPoll
from .handed_records import HandedRecords
from .http_part import HttpPart
from .identity import Identity
from .kafka_part import KafkaPart
from .kept_event import KeptEvent
from .kept_event_meta import KeptEventMeta
from .kept_event_params import KeptEventParams
from .key import Key
from .key_page import KeyPage
from .key_role import KeyRole
from .key_rotation import KeyRotation
from .live_token_made import LiveTokenMade
from .made_key import MadeKey
from .message import Message
from .message_page import MessagePage
from .message_schema import MessageSchema
from .messages_taken import MessagesTaken
from .my_app import MyApp
from .new_app import NewApp
from .new_email_grant import NewEmailGrant
from .new_key import NewKey
from .new_live_token import NewLiveToken
from .new_message_schema import NewMessageSchema
from .new_message_schema_schema_type_0 import NewMessageSchemaSchemaType0
from .new_subject_grant import NewSubjectGrant
from .presence import Presence
from .present import Present
from .problem import Problem
from .problem_errors_item import ProblemErrorsItem
from .problem_rejected_item import ProblemRejectedItem
from .process import Process
from .process_page import ProcessPage
from .readiness import Readiness
from .readiness_parts import ReadinessParts
from .record import Record
from .record_page import RecordPage
from .redrive import Redrive
from .redrive_letters import RedriveLetters
from .redrive_page import RedrivePage
from .redrive_state import RedriveState
from .redriven_letter import RedrivenLetter
from .rejected_event import RejectedEvent
from .rejected_message import RejectedMessage
from .show_event_stats_by import ShowEventStatsBy
from .stats_row import StatsRow
from .store_part import StorePart
from .stream import Stream
from .stream_page import StreamPage
from .tracked import Tracked
from .whole_dead_letter import WholeDeadLetter

__all__ = (
    "App",
    "AppChange",
    "AppPage",
    "AuditEntry",
    "AuditEntryActor",
    "AuditEntryChanges",
    "AuditEntryPage",
    "AuditTarget",
    "DeadLetter",
    "DeadLetterMatches",
    "DeadLetterPage",
    "DeleteLetters",
    "DeletedDeadLetters",
    "Event",
    "EventPage",
    "EventParamsType0",
    "EventStats",
    "FeedPart",
    "Grant",
    "GrantChange",
    "GrantPage",
    "GrantRole",
    "Group",
    "GroupCommit",
    "GroupLag",
    "GroupPoll",
    "HandedRecords",
    "HttpPart",
    "Identity",
    "KafkaPart",
    "KeptEvent",
    "KeptEventMeta",
    "KeptEventParams",
    "Key",
    "KeyPage",
    "KeyRole",
    "KeyRotation",
    "LiveTokenMade",
    "MadeKey",
    "Message",
    "MessagePage",
    "MessageSchema",
    "MessagesTaken",
    "MyApp",
    "NewApp",
    "NewEmailGrant",
    "NewKey",
    "NewLiveToken",
    "NewMessageSchema",
    "NewMessageSchemaSchemaType0",
    "NewSubjectGrant",
    "Presence",
    "Present",
    "Problem",
    "ProblemErrorsItem",
    "ProblemRejectedItem",
    "Process",
    "ProcessPage",
    "Readiness",
    "ReadinessParts",
    "Record",
    "RecordPage",
    "Redrive",
    "RedriveLetters",
    "RedrivePage",
    "RedriveState",
    "RedrivenLetter",
    "RejectedEvent",
    "RejectedMessage",
    "ShowEventStatsBy",
    "StatsRow",
    "StorePart",
    "Stream",
    "StreamPage",
    "Tracked",
    "WholeDeadLetter",
)
