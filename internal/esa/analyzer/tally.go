package analyzer

import (
	"cmp"
	"slices"

	"github.com/shoal-project/shoal/metric/task"
)

// A tally counts the answers of one field in one crowd. It is as large as there are
// different answers, not as there are possible ones.
type tally struct {
	all   uint64 // answers that cover every option
	some  cells  // answers that cover part of a set, by option
	shown cells  // answers that show an option
}

// answers returns how many answers cover option k, shown or not.
func (t *tally) answers(k int) uint64 { return t.all + t.some.get(k) }

// add counts n equal answers, given as the columns of their field, and returns by
// how many bytes the tally grew. index finds the values of an enum.
func (t *tally) add(f task.Field, index map[string]int, columns Row, n uint64) int64 {
	if f.Kind != task.Set {
		return t.addValue(index, columns[0], n)
	}
	grown := int64(0)
	whole := !slices.Contains(columns, nil)
	if whole {
		t.all += n
	}
	for k, v := range columns {
		has, told := v.(bool)
		if told && !whole {
			grown += t.some.add(k, n, len(columns))
		}
		if has {
			grown += t.shown.add(k, n, len(columns))
		}
	}
	return grown
}

func (t *tally) addValue(index map[string]int, v any, n uint64) int64 {
	switch v := v.(type) {
	case bool:
		t.all += n
		if v {
			return t.shown.add(0, n, 1)
		}
	case string:
		t.all += n
		if k, ok := index[v]; ok {
			return t.shown.add(k, n, len(index))
		}
	}
	return 0
}

// cells are counts by option. Few are a sorted list, many an array.
type cells struct {
	list  []cell
	dense []uint64
}

type cell struct {
	option int
	n      uint64
}

// cellBytes is about what an entry of a list takes, its spare capacity included.
const cellBytes = 24

func (c *cells) get(k int) uint64 {
	if c.dense != nil {
		return c.dense[k]
	}
	if i, ok := c.find(k); ok {
		return c.list[i].n
	}
	return 0
}

// find is only used while there is no array.
func (c *cells) find(k int) (int, bool) {
	return slices.BinarySearchFunc(c.list, k, func(have cell, k int) int { return cmp.Compare(have.option, k) })
}

// add adds n to option k of so many, and returns by how many bytes the cells grew.
func (c *cells) add(k int, n uint64, options int) int64 {
	if c.dense != nil {
		c.dense[k] += n
		return 0
	}
	i, ok := c.find(k)
	if ok {
		c.list[i].n += n
		return 0
	}
	if len(c.list) < max(1, options/4) {
		c.list = slices.Insert(c.list, i, cell{k, n})
		return cellBytes
	}
	c.dense = make([]uint64, options)
	for _, have := range c.list {
		c.dense[have.option] = have.n
	}
	c.dense[k] = n
	grown := int64(8*options) - int64(cellBytes*len(c.list))
	c.list = nil
	return grown
}
