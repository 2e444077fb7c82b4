"""Names for numbers in events: JMAP data types and registry objects."""

from __future__ import annotations

import enum

__all__ = ["DataType", "ObjectType"]


class DataType(enum.IntFlag):
    """The bits of ``StateChange.types``: which JMAP data types changed.

    ``DataType(event.types)`` names the bits of an event; bits without a name are kept.
    """

    EMAIL = 1 << 0
    EMAIL_DELIVERY = 1 << 1
    EMAIL_SUBMISSION = 1 << 2
    MAILBOX = 1 << 3
    THREAD = 1 << 4
    IDENTITY = 1 << 5
    CORE = 1 << 6
    PUSH_SUBSCRIPTION = 1 << 7
    SEARCH_SNIPPET = 1 << 8
    VACATION_RESPONSE = 1 << 9
    MDN = 1 << 10
    QUOTA = 1 << 11
    SIEVE_SCRIPT = 1 << 12
    CALENDAR = 1 << 13
    CALENDAR_EVENT = 1 << 14
    CALENDAR_EVENT_NOTIFICATION = 1 << 15
    ADDRESS_BOOK = 1 << 16
    CONTACT_CARD = 1 << 17
    FILE_NODE = 1 << 18
    PRINCIPAL = 1 << 19
    SHARE_NOTIFICATION = 1 << 20
    PARTICIPANT_IDENTITY = 1 << 21
    CALENDAR_ALERT = 1 << 22


class ObjectType(enum.IntEnum):
    """The registry objects of Stalwart 0.16, as in ``RegistryInsert.object``.

    The ``object`` of an event is a plain int that compares equal to the member. Later releases of
    Stalwart may add numbers, so an unknown number is no error.
    """

    ACCOUNT = 0
    ACCOUNT_PASSWORD = 1
    ACCOUNT_SETTINGS = 2
    ACME_PROVIDER = 3
    ACTION = 4
    ADDRESS_BOOK = 5
    AI_MODEL = 6
    ALERT = 7
    ALLOWED_IP = 8
    API_KEY = 9
    APP_PASSWORD = 10
    APPLICATION = 11
    ARCHIVED_ITEM = 12
    ARF_EXTERNAL_REPORT = 13
    ASN = 14
    AUTHENTICATION = 15
    BLOB_STORE = 16
    BLOCKED_IP = 17
    BOOTSTRAP = 18
    CACHE = 19
    CALENDAR = 20
    CALENDAR_ALARM = 21
    CALENDAR_SCHEDULING = 22
    CERTIFICATE = 23
    CLUSTER_NODE = 24
    CLUSTER_ROLE = 25
    COORDINATOR = 26
    DATA_RETENTION = 27
    DATA_STORE = 28
    DIRECTORY = 29
    DKIM_REPORT_SETTINGS = 30
    DKIM_SIGNATURE = 31
    DMARC_EXTERNAL_REPORT = 32
    DMARC_INTERNAL_REPORT = 33
    DMARC_REPORT_SETTINGS = 34
    DNS_RESOLVER = 35
    DNS_SERVER = 36
    DOMAIN = 37
    DSN_REPORT_SETTINGS = 38
    EMAIL = 39
    ENTERPRISE = 40
    EVENT_TRACING_LEVEL = 41
    FILE_STORAGE = 42
    HTTP = 43
    HTTP_FORM = 44
    HTTP_LOOKUP = 45
    IMAP = 46
    IN_MEMORY_STORE = 47
    JMAP = 48
    LOG = 49
    MAILING_LIST = 50
    MASKED_EMAIL = 51
    MEMORY_LOOKUP_KEY = 52
    MEMORY_LOOKUP_KEY_VALUE = 53
    METRIC = 54
    METRICS = 55
    METRICS_STORE = 56
    MTA_CONNECTION_STRATEGY = 57
    MTA_DELIVERY_SCHEDULE = 58
    MTA_EXTENSIONS = 59
    MTA_HOOK = 60
    MTA_INBOUND_SESSION = 61
    MTA_INBOUND_THROTTLE = 62
    MTA_MILTER = 63
    MTA_OUTBOUND_STRATEGY = 64
    MTA_OUTBOUND_THROTTLE = 65
    MTA_QUEUE_QUOTA = 66
    MTA_ROUTE = 67
    MTA_STAGE_AUTH = 68
    MTA_STAGE_CONNECT = 69
    MTA_STAGE_DATA = 70
    MTA_STAGE_EHLO = 71
    MTA_STAGE_MAIL = 72
    MTA_STAGE_RCPT = 73
    MTA_STS = 74
    MTA_TLS_STRATEGY = 75
    MTA_VIRTUAL_QUEUE = 76
    NETWORK_LISTENER = 77
    OAUTH_CLIENT = 78
    OIDC_PROVIDER = 79
    PUBLIC_KEY = 80
    QUEUED_MESSAGE = 81
    REPORT_SETTINGS = 82
    ROLE = 83
    SEARCH = 84
    SEARCH_STORE = 85
    SECURITY = 86
    SENDER_AUTH = 87
    SHARING = 88
    SIEVE_SYSTEM_INTERPRETER = 89
    SIEVE_SYSTEM_SCRIPT = 90
    SIEVE_USER_INTERPRETER = 91
    SIEVE_USER_SCRIPT = 92
    SPAM_CLASSIFIER = 93
    SPAM_DNSBL_SERVER = 94
    SPAM_DNSBL_SETTINGS = 95
    SPAM_FILE_EXTENSION = 96
    SPAM_LLM = 97
    SPAM_PYZOR = 98
    SPAM_RULE = 99
    SPAM_SETTINGS = 100
    SPAM_TAG = 101
    SPAM_TRAINING_SAMPLE = 102
    SPF_REPORT_SETTINGS = 103
    STORE_LOOKUP = 104
    SYSTEM_SETTINGS = 105
    TASK = 106
    TASK_MANAGER = 107
    TENANT = 108
    TLS_EXTERNAL_REPORT = 109
    TLS_INTERNAL_REPORT = 110
    TLS_REPORT_SETTINGS = 111
    TRACE = 112
    TRACER = 113
    TRACING_STORE = 114
    WEB_DAV = 115
    WEB_HOOK = 116
