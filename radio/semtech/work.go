package semtech

import (
	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// maxKeep is the largest buffer that is kept to be used again, in bytes.
const maxKeep = 4 << 10

// work reads the PUSH_DATA that read has taken, one after the other.
func (s *Server) work(jobs <-chan job, receive func(*radio.Frame)) {
	var p gwmp.Push
	for j := range jobs {
		err := p.Parse(j.body)
		size := len(j.body)
		if cap(j.body) <= maxKeep {
			select {
			case s.drops <- j.body:
			default:
			}
		}
		s.mu.Lock()
		s.queued -= size
		g := j.gateway
		for i := range p.Packets {
			g.took(&p.Packets[i])
		}
		if p.Stat != nil {
			g.told(p.Stat)
		}
		if err != nil {
			s.count.BadJSON++
			g.count.Garbage++
		}
		s.count.BadFrames += uint64(p.Bad)
		g.count.Garbage += uint64(p.Bad)
		s.mu.Unlock()
		if err != nil {
			s.log.Debug("PUSH_DATA is damaged", "forwarder", g.name, "error", err)
		}
		if p.Bad > 0 {
			s.log.Debug("frames refused", "forwarder", g.name, "frames", p.Bad, "error", p.BadErr)
		}
		for i := range p.Packets {
			receive(p.Packets[i].Frame(g.name, j.at))
			p.Packets[i] = gwmp.Rxpk{} // holds on to nothing
		}
	}
}
