# cython: language_level=3
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    DECIMAL_SIZE = 20            # digits of the largest u64, base 10
    DIGITS_64_SIZE = 11          # digits of the largest u64, base 64
    DIGITS_64_SIZE_U32 = 6       # digits of the largest u32, base 64
    # The header of a batch has the version line and its name, then version, protocol and note, then
    # six numbers with their dots, and two line ends. Questions and answers have a second line, but
    # no events.
    MAX_HEADER = 10 + 2 + 3 + 4 * (DIGITS_64_SIZE + 1) + 2 * (DIGITS_64_SIZE_U32 + 1) + 4

cdef bytes HEADER_START                 # the version line and the name of the header
cdef bytes header_fields(protocol, note, uint64_t incarnation)

cdef enum HeaderState:
    HEADER_ABSENT = 0
    HEADER_PRESENT
    HEADER_MALFORMED

# The parsed header of a message. `state`, `block` and `block_size` are always set. The other fields
# are valid only if `state` is HEADER_PRESENT.
cdef struct SequenceHeader:
    uint64_t incarnation
    uint64_t offset
    uint64_t count
    uint64_t discarded
    uint32_t connection     # how many connections the sender had before this one in its run
    uint32_t silence        # the longest pause between two messages of the sender, in ms
    HeaderState state
    uint8_t protocol        # the index of the sender's protocol in PROTOCOLS
    uint8_t note            # the letter of the note, for example c'e'
    const uint8_t* block    # the whole header block of the message
    Py_ssize_t block_size

cdef object name_of_note(uint8_t letter)

cdef void read_sequence_header(
    const uint8_t* block, Py_ssize_t size, SequenceHeader* header
) noexcept nogil

cdef int digits_64_size(uint64_t number) noexcept nogil
cdef uint8_t* put_digits_64(uint8_t* target, uint64_t number, int size) noexcept nogil


cdef inline const uint8_t* read_decimal(
    const uint8_t* position, const uint8_t* end, uint64_t* number
) noexcept nogil:
    """Read digits up to the first other byte. Return NULL if there are none or u64 overflows."""
    cdef uint64_t value = 0
    cdef uint64_t digit
    cdef const uint8_t* first = position
    while position < end and c'0' <= position[0] <= c'9':
        digit = position[0] - c'0'
        if position - first >= DECIMAL_SIZE - 1 and (
            # The largest u64 is 10 * 0x1999999999999999 + 5.
            value > <uint64_t>0x1999999999999999
            or (value == <uint64_t>0x1999999999999999 and digit > 5)
        ):
            return NULL
        value = value * 10 + digit
        position += 1
    if position == first:
        return NULL
    number[0] = value
    return position


cdef inline int decimal_size(uint64_t number) noexcept nogil:
    """Return how many decimal digits a number has."""
    cdef int size = 1
    while number >= 10:
        number //= 10
        size += 1
    return size


cdef inline uint8_t* put_decimal(uint8_t* target, uint64_t number, int size) noexcept nogil:
    """Write a number that has ``size`` decimal digits. Return the position behind them."""
    cdef uint8_t* position = target + size
    while position > target:
        position -= 1
        position[0] = c'0' + <uint8_t>(number % 10)
        number //= 10
    return target + size
