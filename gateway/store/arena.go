package store

// arenas are pieces of memory that no transaction uses now.
type arenas [][]byte

const (
	arenaBytes = 32 << 10
	mostArenas = 8
)

func (a *arenas) take() []byte {
	n := len(*a) - 1
	if n < 0 {
		return nil
	}
	one := (*a)[n]
	*a = (*a)[:n]
	return one
}

// back gives pieces back whose transaction has ended.
func (a *arenas) back(pieces [][]byte) {
	*a = append(*a, pieces[:min(len(pieces), mostArenas-len(*a))]...)
}

// alloc gives n bytes that live as long as the transaction.
func (b *build) alloc(n int) []byte {
	if cap(b.arena)-len(b.arena) < n {
		if b.arena = b.w.arenas.take(); cap(b.arena) < n {
			b.arena = make([]byte, 0, max(n, arenaBytes))
		}
		if cap(b.arena) == arenaBytes {
			b.taken = append(b.taken, b.arena)
		}
	}
	b.arena = b.arena[:len(b.arena)+n]
	return b.arena[len(b.arena)-n:][:0:n]
}
