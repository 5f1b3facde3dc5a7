// A history as its file tells it (README.md). Whatever is not understood is refused: a judge that
// passes over what it cannot read finds nothing wrong in it.

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// TxID is a position in the ledger: the Seqno-th entry, written in View.
type TxID struct{ View, Seqno int64 }

func (t TxID) String() string { return fmt.Sprintf("%d.%d", t.View, t.Seqno) }

func (t *TxID) UnmarshalJSON(text []byte) error {
	var quoted string
	if err := json.Unmarshal(text, &quoted); err != nil {
		return err
	}
	view, seqno, found := strings.Cut(quoted, ".")
	v, errV := strconv.ParseInt(view, 10, 64)
	s, errS := strconv.ParseInt(seqno, 10, 64)
	if !found || errV != nil || errS != nil || v < 1 || s < 1 {
		return fmt.Errorf("%q is no TxID such as 2.15", quoted)
	}
	*t = TxID{v, s}
	return nil
}

const (
	write   = "write"
	read    = "read"
	send    = "send"
	receive = "receive"

	ok      = "ok"
	fail    = "fail"
	unknown = "unknown"
)

// Op is one call by one client. Line is the text it was read from.
type Op struct {
	Type     string  `json:"type"`
	ID       int     `json:"id"`
	Client   int     `json:"client"`
	Node     string  `json:"node"`
	Kind     string  `json:"kind"`
	Key      string  `json:"key"`
	Value    *string `json:"value"`
	Fresh    bool    `json:"fresh"`
	Stranger bool    `json:"stranger"`
	Min      *TxID   `json:"min"`
	Call     int64   `json:"call"`
	Return   *int64  `json:"return"`
	Outcome  string  `json:"outcome"`
	Tx       *TxID   `json:"tx"`
	Note     string  `json:"note"`
	Line     string  `json:"-"`
}

// Row is something that lies in the ledger.
type Row struct {
	Type  string `json:"type"`
	Key   string `json:"key"`
	Value string `json:"value"`
	Tx    TxID   `json:"tx"`
	Line  string `json:"-"`
}

// Event is something that was done to the service.
type Event struct {
	Type string `json:"type"`
	At   int64  `json:"at"`
	Text string `json:"text"`
}

// Ledger says how the service's history ended.
type Ledger struct {
	Type      string `json:"type"`
	Views     []TxID `json:"views"`
	Committed TxID   `json:"committed"`
}

// History is all of it.
type History struct {
	Ops     []*Op
	Applied []*Row
	Stored  []*Row
	Events  []Event
	Ledger  *Ledger
}

func readHistory(from io.Reader) (*History, error) {
	history := &History{}
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 1<<16), 1<<26)
	number := 0
	for lines.Scan() {
		number++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := history.take(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return history, history.check()
}

func (h *History) take(line []byte) error {
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return err
	}
	switch kind.Type {
	case "op":
		op := &Op{Line: string(line)}
		h.Ops = append(h.Ops, op)
		return strictly(line, op)
	case "applied":
		row := &Row{Line: string(line)}
		h.Applied = append(h.Applied, row)
		return strictly(line, row)
	case "stored":
		row := &Row{Line: string(line)}
		h.Stored = append(h.Stored, row)
		return strictly(line, row)
	case "event":
		h.Events = append(h.Events, Event{})
		return strictly(line, &h.Events[len(h.Events)-1])
	case "ledger":
		if h.Ledger != nil {
			return fmt.Errorf("a second line says how the ledger ended")
		}
		h.Ledger = &Ledger{}
		return strictly(line, h.Ledger)
	default:
		return fmt.Errorf("%q is no type of line", kind.Type)
	}
}

func strictly(line []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func (h *History) check() error {
	if h.Ledger == nil || len(h.Ledger.Views) == 0 {
		return fmt.Errorf("no line says how the ledger ended, or it names no view")
	}
	for i, first := range h.Ledger.Views[1:] {
		if before := h.Ledger.Views[i]; first.View <= before.View || first.Seqno < before.Seqno {
			return fmt.Errorf("view %d begins at %v after %v", first.View, first, before)
		}
	}
	ids := map[int]bool{}
	values := map[string]bool{}
	for _, op := range h.Ops {
		if err := op.check(); err != nil {
			return fmt.Errorf("op %d: %w", op.ID, err)
		}
		if ids[op.ID] {
			return fmt.Errorf("op %d: its number is used twice", op.ID)
		}
		ids[op.ID] = true
		if last := h.Ledger.Views[len(h.Ledger.Views)-1].View; op.Tx != nil &&
			(op.Tx.View > last || op.Tx.View == last && op.Tx.Seqno > h.Ledger.Committed.Seqno) {
			return fmt.Errorf("op %d: %v is later than the ledger's end, %v", op.ID, *op.Tx, h.Ledger.Committed)
		}
		if op.Kind == write || op.Kind == send {
			if values[*op.Value] {
				return fmt.Errorf("op %d: %q was written before", op.ID, *op.Value)
			}
			values[*op.Value] = true
		}
	}
	return nil
}

func (op *Op) check() error {
	switch {
	case op.Kind != write && op.Kind != read && op.Kind != send && op.Kind != receive:
		return fmt.Errorf("%q is no kind of call", op.Kind)
	case op.Outcome != ok && op.Outcome != fail && op.Outcome != unknown:
		return fmt.Errorf("%q is no outcome", op.Outcome)
	case op.Return != nil && *op.Return < op.Call:
		return fmt.Errorf("it returned before it was called")
	case op.Outcome == ok && op.Return == nil:
		return fmt.Errorf("it is ok, but did not return")
	case op.Changes() && op.Value == nil:
		return fmt.Errorf("it writes no value")
	case !op.Changes() && op.Outcome == unknown:
		return fmt.Errorf("a read without an answer is a fail: it changes nothing")
	case op.Key == "" && (op.Kind != send || op.Outcome == ok):
		return fmt.Errorf("it has no key")
	case op.Kind == write && op.Outcome == ok && op.Tx == nil:
		return fmt.Errorf("an acknowledged write has a TxID")
	case op.Kind == read && op.Outcome == ok && op.Value != nil && op.Tx == nil:
		return fmt.Errorf("a read that saw something names the TxID it saw it at")
	case op.Stranger && op.Kind != receive, op.Fresh && op.Kind != read:
		return fmt.Errorf("a %s cannot be that", op.Kind)
	}
	return nil
}

// Changes tells whether a call changes anything.
func (op *Op) Changes() bool { return op.Kind == write || op.Kind == send }

// Saw is the value, or a word for its absence.
func (op *Op) Saw() string {
	if op.Value == nil {
		return "nothing"
	}
	return strconv.Quote(*op.Value)
}

// End is when it returned; a call that did not return has not ended.
func (op *Op) End() int64 {
	if op.Return == nil || op.Outcome == unknown {
		return 1<<63 - 1
	}
	return *op.Return
}

// Holds tells whether a TxID is one of the ledger's own.
func (l *Ledger) Holds(t TxID) bool {
	return t.Seqno <= l.Committed.Seqno && l.viewAt(t.Seqno) == t.View
}

func (l *Ledger) viewAt(seqno int64) int64 {
	view := int64(0)
	for _, first := range l.Views {
		if first.Seqno <= seqno {
			view = first.View
		}
	}
	return view
}

// Shared is the last seqno up to which a state at t can be the ledger's own: of a TxID that was
// rolled back, everything from the next view's first seqno on is another history's.
func (l *Ledger) Shared(t TxID) int64 {
	if l.Holds(t) {
		return t.Seqno
	}
	for _, first := range l.Views {
		if first.View > t.View && first.Seqno <= t.Seqno {
			return first.Seqno - 1
		}
	}
	return t.Seqno
}
