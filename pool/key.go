package pool

import "fmt"

// Keyed says under which idempotency key a command is given: the same key with the same body gives the first outcome
// again, for as long as Config.KeyRetentionMs says.
type Keyed struct {
	Client string // the identity of who asks: keys are each client's own
	Key    string // empty: none
	Hash   uint64 // of the request's type and body
}

type keyName struct{ client, key string }

// keyed is a key whose outcome is known, or waited for.
type keyed struct {
	record rec
	keyName
	hash  uint64
	wait  uint64 // whose outcome it will be; 0: it is known
	reply []byte // the outcome, as Reply.put appends it
	until int64  // when it is forgotten; 0 while it waits
	due   int32

	repeats int // how often an Acquire was given again under it since the start
}

func (k *keyed) rec() *rec { return &k.record }

func (k *keyed) key(e *enc) {
	e.byte(recKey)
	e.string(k.client)
	*e = append(*e, k.keyName.key...)
}

func (k *keyed) value(e *enc) {
	e.uint(k.hash)
	e.uint(k.wait)
	e.string(string(k.reply))
	e.int(k.until)
}

func (m *Machine) loadKey(key, value *dec) (record, error) {
	k := new(keyed)
	k.client = key.string()
	k.keyName.key = string(key.p)
	k.hash = value.uint()
	k.wait = value.uint()
	k.reply = append(k.reply, value.bytes()...)
	k.until = value.int()
	if m.keys[k.keyName] != nil {
		return nil, errTwice
	}
	m.keys[k.keyName] = k
	if k.until != 0 {
		m.keysDue.set(k, k.hash, k.until)
	}
	return k, nil
}

// Knows reports whether a command was given under a client's key, whose outcome is remembered or waited for: the same again
// takes no more room.
func (m *Machine) Knows(client, key string) bool { return m.keys[keyName{client, key}] != nil }

// repeated reports whether a command was given before under its key, and sets r to that one's outcome then.
func (m *Machine) repeated(c *Keyed, r *Reply) bool {
	if c.Key == "" {
		return false
	}
	k := m.keys[keyName{c.Client, c.Key}]
	switch {
	case k == nil && len(m.keys) >= m.cfg.KeysMax:
		r.fail(Overloaded, "%d idempotency keys are remembered, as many as may be; they are forgotten with time", len(m.keys))
		return true
	case k == nil:
		return false
	case k.hash != c.Hash:
		r.fail(KeyConflict, "the key was used for a request of another type or with another payload: each request takes a key of its own")
		return true
	}
	r.Repeated = true
	if k.wait != 0 {
		r.Waiting = k.wait
		return true
	}
	d := dec{p: k.reply}
	r.get(&d)
	return true
}

// remember keeps the outcome of a command under its key. That of one that waits is known later.
func (m *Machine) remember(c *Keyed, r *Reply) {
	if c.Key == "" || r.Waiting != 0 {
		return
	}
	m.emitKey(keyName{c.Client, c.Key}, c.Hash, r)
}

// settleKey keeps the outcome of a wait.
func (m *Machine) settleKey(name keyName, r *Reply) {
	if k := m.keys[name]; k != nil {
		m.emitKey(name, k.hash, r)
	}
}

func (m *Machine) emitKey(name keyName, hash uint64, r *Reply) {
	r.Rev = m.rev + 1 // that of the event that follows: who has the reply knows that much
	ev := &m.scratch.keyed
	*ev = keyedEvent{keyName: name, hash: hash, until: m.now + m.cfg.KeyRetentionMs}
	var e enc
	r.put(&e)
	ev.reply = e
	m.emit(ev)
}

// keyedEvent says what the outcome of a key is.
type keyedEvent struct {
	keyName
	hash  uint64
	reply []byte
	until int64
}

func (*keyedEvent) kind() byte { return evKeyed }

func (ev *keyedEvent) put(e *enc) {
	e.string(ev.client)
	e.string(ev.key)
	e.uint(ev.hash)
	e.string(string(ev.reply))
	e.int(ev.until)
}

func (ev *keyedEvent) get(d *dec) {
	ev.client, ev.key = d.string(), d.string()
	ev.hash = d.uint()
	ev.reply = append([]byte(nil), d.bytes()...)
	ev.until = d.int()
}

func (ev *keyedEvent) apply(m *Machine) error {
	if k := m.keys[ev.keyName]; k != nil && m.waits[k.wait] != nil || ev.until == 0 {
		return fmt.Errorf("key %q can not be settled", ev.key)
	}
	m.setKey(ev.keyName, ev.hash, 0, ev.reply, ev.until)
	return nil
}

func (ev *keyedEvent) describe(e *Event) { e.Type, e.Client = "key.settled", ev.client }

func (m *Machine) setKey(name keyName, hash, wait uint64, reply []byte, until int64) {
	k := m.keys[name]
	if k == nil {
		k = &keyed{keyName: name}
		m.keys[name] = k
	}
	m.touch(k)
	k.hash, k.wait, k.reply, k.until = hash, wait, reply, until
	if until != 0 {
		m.keysDue.set(k, hash, until)
	}
}

// keyForgotten lets go of a key: its time is over, or nothing was done under it.
type keyForgotten struct{ keyName }

func (*keyForgotten) kind() byte    { return evKeyForgotten }
func (ev *keyForgotten) put(e *enc) { e.string(ev.client); e.string(ev.key) }
func (ev *keyForgotten) get(d *dec) { ev.client, ev.key = d.string(), d.string() }

func (ev *keyForgotten) apply(m *Machine) error {
	k := m.keys[ev.keyName]
	if k == nil || m.waits[k.wait] != nil {
		return fmt.Errorf("client %q has no key %q, or waits under it", ev.client, ev.key)
	}
	m.drop(k)
	m.keysDue.remove(k)
	delete(m.keys, k.keyName)
	return nil
}

func (ev *keyForgotten) describe(e *Event) { e.Type, e.Client = "key.forgotten", ev.client }

// granted returns the grant that the outcome is; 0: it is none, or not known yet.
func (k *keyed) granted() uint64 {
	if k.wait != 0 {
		return 0
	}
	var r Reply
	r.get(&dec{p: k.reply})
	return r.Grant
}

// put appends what of a reply is the same when it is given again.
func (r *Reply) put(e *enc) {
	var failure Error
	if r.Err != nil {
		failure = *r.Err
	}
	e.string(string(failure.Code))
	e.string(failure.Message)
	e.uint(r.Rev)
	e.uint(r.Grant)
	e.uint(r.Token)
	e.int(r.ExpiresAt)
	e.uint(uint64(len(r.Items)))
	more := len(r.Conflicts) > 0
	for _, it := range r.Items {
		e.string(it.Pool)
		e.string(it.ID)
		e.string(it.Labels)
		e.string(it.Attrs)
		more = more || it.Units != 1 || it.Span != Span{}
	}
	e.int(int64(r.Count))
	e.int(int64(r.Other))
	e.string(r.Cursor)
	if !more {
		return
	}
	for _, it := range r.Items {
		e.uint(uint64(it.Units))
		it.Span.put(e)
	}
	e.uint(uint64(len(r.Conflicts)))
	for _, it := range r.Conflicts {
		e.string(it.Pool)
		e.string(it.ID)
		it.Span.put(e)
	}
}

func (r *Reply) get(d *dec) {
	if code := Code(d.string()); code != "" {
		r.Err = &Error{Code: code}
	}
	message := d.string()
	if r.Err != nil {
		r.Err.Message = message
	}
	r.Rev = d.uint()
	r.Grant = d.uint()
	r.Token = d.uint()
	r.ExpiresAt = d.int()
	r.Items = make([]Given, d.len())
	for i := range r.Items {
		r.Items[i] = Given{Pool: d.string(), ID: d.string(), Labels: d.string(), Attrs: d.string(), Units: 1}
	}
	r.Count = int(d.int())
	r.Other = int(d.int())
	r.Cursor = d.string()
	if len(d.p) == 0 {
		return
	}
	for i := range r.Items {
		r.Items[i].Units = int64(d.uint())
		r.Items[i].Span.get(d)
	}
	r.Conflicts = make([]Given, d.len())
	for i := range r.Conflicts {
		r.Conflicts[i].Pool, r.Conflicts[i].ID = d.string(), d.string()
		r.Conflicts[i].Span.get(d)
	}
}
