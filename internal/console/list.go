package console

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// perPage is how many rows a page of a list has.
const perPage = 50

// cell is the content of a column of a row, or of a fact.
type cell struct {
	Text, Link string
	// Sub is a second line, in small letters.
	Sub string
	// Mark is good, warn, bad or idle for a status, which has a sign of its own beside the color.
	Mark string
	// Code is set for ids, addresses and the like.
	Code bool
	// More are further lines.
	More []cell
	// Act is a form with a button.
	Act *act
}

// act is a form of a button alone.
type act struct {
	Label, Action, For string
	Fields             [][2]string
}

func text(s string) cell                     { return cell{Text: s} }
func code(s string) cell                     { return cell{Text: s, Code: true} }
func number[N int | int32 | int64](n N) cell { return cell{Text: grouped(int64(n))} }

// column is a column of a list of T.
type column[T any] struct {
	name string
	cell func(T) cell
	// by is the order by this column. Nil means that there is none.
	by func(a, b T) int
	// number says that the cells are figures, which are aligned right; tight that they are short, and stay on one line.
	number, tight bool
}

func (c column[T]) class() string {
	switch {
	case c.number:
		return "number"
	case c.tight:
		return "tight"
	}
	return ""
}

// byText orders by a text, whatever its case.
func byText[T any](of func(T) string) func(a, b T) int {
	return func(a, b T) int {
		return cmp.Or(strings.Compare(strings.ToLower(of(a)), strings.ToLower(of(b))), strings.Compare(of(a), of(b)))
	}
}

func byNumber[T any, N cmp.Ordered](of func(T) N) func(a, b T) int {
	return func(a, b T) int { return cmp.Compare(of(a), of(b)) }
}

// list is how to show a list: its items are filtered, sorted and cut into pages here and not in the browser.
type list[T any] struct {
	// id is a word for the list that is unique on the page; "" for the only one.
	id    string
	label string
	// items are in the order in which they are shown unless the reader asks for another.
	items   []T
	columns []column[T]
	// key is unique in the list.
	key func(T) string
	// matches reports whether an item matches a word in lower case.
	matches func(item T, word string) bool
	// empty is the text for a list without items.
	empty string
}

// table is a page of a list.
type table struct {
	ID, Label, Empty string
	Headings         []heading
	Rows             []row
	// Filter is the text that the reader searches for.
	Filter     string
	FilterName string
	// Kept are the parameters of the page that have nothing to do with the filter.
	Kept [][2]string
	// Total is how many items there are, Matching how many the filter leaves; From and To are those on the page.
	Total, Matching, From, To int
	Previous, Next            string
}

type heading struct {
	Name, Link string
	// Sorted is ascending, descending or "".
	Sorted string
	Number bool
}

type row struct {
	Key   string
	Cells []rowCell
}

type rowCell struct {
	cell
	// Name is the column's name.
	Name, Class string
}

// parameter names a parameter of one of several lists.
func parameter(list, name string) string {
	if list == "" {
		return name
	}
	return list + "." + name
}

// maxFilter bounds the length of a filter.
const maxFilter = 200

// show returns the page of the list that a request asks for.
func (l list[T]) show(v *visit) *table {
	query := v.r.URL.Query()
	filterName, sortName, pageName := parameter(l.id, "q"), parameter(l.id, "sort"), parameter(l.id, "page")
	t := &table{ID: cmp.Or(l.id, "list"), Label: l.label, Empty: l.empty, Total: len(l.items), Filter: query.Get(filterName), FilterName: filterName}
	if len(t.Filter) > maxFilter {
		t.Filter = t.Filter[:maxFilter]
	}
	with := func(name, value string) string {
		changed := url.Values{}
		for key, values := range query {
			if key != pageName {
				changed[key] = values
			}
		}
		changed.Set(name, value)
		return v.r.URL.Path + "?" + changed.Encode()
	}
	for _, key := range slices.Sorted(keys(query)) {
		if key != filterName && key != pageName {
			t.Kept = append(t.Kept, [2]string{key, query.Get(key)})
		}
	}
	items := slices.Clone(l.items)
	for word := range strings.FieldsSeq(strings.ToLower(t.Filter)) {
		items = slices.DeleteFunc(items, func(item T) bool { return !l.matches(item, word) })
	}
	t.Matching = len(items)

	by, descending := strings.CutPrefix(query.Get(sortName), "-")
	for _, column := range l.columns {
		h := heading{Name: column.name, Number: column.number}
		if column.by != nil {
			slug := slugOf(column.name)
			next := slug
			if slug == by {
				h.Sorted = "ascending"
				next = "-" + slug
				order := column.by
				if descending {
					h.Sorted, next = "descending", slug
					order = func(a, b T) int { return column.by(b, a) }
				}
				slices.SortStableFunc(items, order)
			} else if column.number {
				next = "-" + slug // By figures, the largest comes first.
			}
			h.Link = with(sortName, next)
		}
		t.Headings = append(t.Headings, h)
	}

	pages := max(1, (len(items)+perPage-1)/perPage)
	page, _ := strconv.Atoi(query.Get(pageName))
	page = min(max(page, 1), pages)
	from, to := (page-1)*perPage, min(page*perPage, len(items))
	if len(items) > 0 {
		t.From, t.To = from+1, to
	}
	if page > 1 {
		t.Previous = with(pageName, strconv.Itoa(page-1))
	}
	if page < pages {
		t.Next = with(pageName, strconv.Itoa(page+1))
	}
	for _, item := range items[from:to] {
		r := row{Key: t.ID + "-" + l.key(item)}
		for _, column := range l.columns {
			r.Cells = append(r.Cells, rowCell{column.cell(item), column.name, column.class()})
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

func keys(query url.Values) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for key := range query {
			if !yield(key) {
				return
			}
		}
	}
}

// slugOf returns a column's name as addresses have it.
func slugOf(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		case c == ' ':
			return '-'
		}
		return -1
	}, name)
}

// containsAny reports whether a word is part of one of some texts.
func containsAny(word string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), word) })
}
