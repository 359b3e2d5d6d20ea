package nbd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Numbers of the protocol.
const (
	magicHello   = 0x4e42444d41474943 // NBDMAGIC
	magicOption  = 0x49484156454f5054 // IHAVEOPT
	magicAnswer  = 0x3e889045565a9
	magicRequest = 0x25609513
	magicReply   = 0x67446698

	optExportName = 1
	optAbort      = 2
	optInfo       = 6
	optGo         = 7

	repAck         = 1
	repInfo        = 3
	repUnsupported = 1<<31 | 1

	cmdRead       = 0
	cmdWrite      = 1
	cmdDisconnect = 2
	cmdFlush      = 3

	flagFUA      = 1               // of a request
	exportFlags  = 1 | 1<<2 | 1<<3 // there are flags; FLUSH; FUA
	handshake    = 1 | 1<<1        // fixed newstyle, no zeroes
	maxOption    = 4 << 10         // bytes
	maxRequest   = 32 << 20        // bytes
	errnoIO      = 5
	errnoInvalid = 22
)

// errProtocol is wrapped by what a client must not send.
var errProtocol = errors.New("nbd: protocol")

// Serve answers one client until it disconnects, or the connection ends.
func Serve(conn net.Conn, d *Disk) error {
	r, w := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriterSize(conn, 64<<10)
	if err := negotiate(r, w, d.Size()); err != nil {
		return err
	}
	for {
		req, err := readRequest(r)
		if err != nil {
			return err
		}
		if req.kind == cmdDisconnect {
			return w.Flush()
		}
		if err := answer(r, w, d, req); err != nil {
			return err
		}
		if r.Buffered() == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
}

// negotiate is the handshake. There is one export, whatever its name.
func negotiate(r *bufio.Reader, w *bufio.Writer, size int64) error {
	put(w, uint64(magicHello), uint64(magicOption), uint16(handshake))
	if err := w.Flush(); err != nil {
		return err
	}
	var flags uint32
	if err := binary.Read(r, binary.BigEndian, &flags); err != nil {
		return err
	}
	for {
		var o struct {
			Magic       uint64
			Option, Len uint32
		}
		if err := binary.Read(r, binary.BigEndian, &o); err != nil {
			return err
		}
		if o.Magic != magicOption || o.Len > maxOption {
			return fmt.Errorf("%w: option %d of %d bytes", errProtocol, o.Option, o.Len)
		}
		if _, err := io.CopyN(io.Discard, r, int64(o.Len)); err != nil {
			return err
		}
		switch o.Option {
		case optExportName:
			put(w, uint64(size), uint16(exportFlags))
			if flags&2 == 0 {
				put(w, [124]byte{})
			}
			return w.Flush()
		case optGo, optInfo:
			put(w, uint64(magicAnswer), o.Option, uint32(repInfo), uint32(12), uint16(0), uint64(size), uint16(exportFlags))
			put(w, uint64(magicAnswer), o.Option, uint32(repAck), uint32(0))
		case optAbort:
			put(w, uint64(magicAnswer), o.Option, uint32(repAck), uint32(0))
			_ = w.Flush()
			return io.EOF
		default:
			put(w, uint64(magicAnswer), o.Option, uint32(repUnsupported), uint32(0))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if o.Option == optGo {
			return nil
		}
	}
}

func put(w io.Writer, values ...any) {
	for _, v := range values {
		_ = binary.Write(w, binary.BigEndian, v) // an error stays in w until Flush
	}
}

type request struct {
	flags, kind uint16
	handle      uint64
	offset      uint64
	length      uint32
}

func readRequest(r io.Reader) (request, error) {
	var b [28]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return request{}, err
	}
	if binary.BigEndian.Uint32(b[:]) != magicRequest {
		return request{}, fmt.Errorf("%w: %x is no request", errProtocol, b[:4])
	}
	q := request{
		flags: binary.BigEndian.Uint16(b[4:]), kind: binary.BigEndian.Uint16(b[6:]), handle: binary.BigEndian.Uint64(b[8:]),
		offset: binary.BigEndian.Uint64(b[16:]), length: binary.BigEndian.Uint32(b[24:]),
	}
	if q.length > maxRequest {
		return request{}, fmt.Errorf("%w: %d bytes at once", errProtocol, q.length)
	}
	return q, nil
}

// answer does what is asked. An error ends the connection.
func answer(r io.Reader, w io.Writer, d *Disk, q request) error {
	var body []byte
	within := q.offset <= uint64(d.Size()) && uint64(q.length) <= uint64(d.Size())-q.offset
	if q.kind == cmdWrite || q.kind == cmdRead && within {
		body = make([]byte, q.length)
	}
	if q.kind == cmdWrite {
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
	}
	code, data := uint32(0), []byte(nil)
	switch {
	case q.kind == cmdFlush:
		if d.Flush() != nil {
			code = errnoIO
		}
	case !within:
		code = errnoInvalid
	case q.kind == cmdRead:
		d.ReadAt(body, int64(q.offset))
		data = body
	case q.kind == cmdWrite:
		if d.WriteAt(body, int64(q.offset), q.flags&flagFUA != 0) != nil {
			code = errnoIO
		}
	default:
		code = errnoInvalid
	}
	put(w, uint32(magicReply), code, q.handle)
	_, err := w.Write(data)
	return err
}
