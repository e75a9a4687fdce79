//! Line after line, what each means below those above it.

use super::block::{Block, Stand, front_matter};
use super::draft::Draft;
use super::identity::{Key, Siblings};
use super::line::{Line, Shape, lines};
use super::marker::{Checkbox, what_is};
use super::nesting::{Boxes, Nested, Nesting};
use super::outline::Outline;
use super::{Kind, Plan, PlanError, Skipped, What, text};

#[derive(Debug, Default)]
pub(super) struct Reader<'a> {
    outline: Outline<'a>,
    siblings: Siblings,
    drafts: Vec<Draft>,
    /// The epic of what stands above the first heading.
    preamble: Option<usize>,
    boxes: Boxes,
    nesting: Nesting,
    flow: Flow,
    paragraph: Vec<&'a str>,
    block: Option<Block>,
    skipped: Vec<Skipped>,
}

/// What a line of plain text goes on with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Nothing,
    Title(usize),
    Description {
        owner: usize,
        depth: usize,
    },
    Paragraph,
    Table,
    /// A line that is listed as skipped.
    Skipped,
}

impl<'a> Reader<'a> {
    pub(super) fn read(mut self, text: &'a str, file_stem: &str) -> Result<Plan, PlanError> {
        let passed = front_matter(text).unwrap_or(0);
        if passed > 0 {
            self.skip(1, What::FrontMatter);
        }
        for (number, raw) in (1..).zip(lines(text)).skip(passed) {
            let line = Line::parse(raw);
            if !self.stays_in_block(&line) {
                self.line(number, line);
            }
        }
        self.end_flow();
        self.finish(file_stem)
    }

    fn stays_in_block(&mut self, line: &Line<'_>) -> bool {
        let Some(stand) = self.block.map(|block| block.stand(line)) else {
            return false;
        };
        if stand != Stand::Inside {
            self.block = None;
        }
        stand != Stand::Below
    }

    fn line(&mut self, number: usize, line: Line<'a>) {
        let Line {
            indent,
            text,
            shape,
        } = line;
        match shape {
            Shape::Blank => self.end_flow(),
            Shape::Heading { level, text: title } if self.is_outside_items(indent) => {
                self.end_flow();
                self.heading(number, level, title);
            }
            Shape::Underline { level } if self.flow == Flow::Paragraph => {
                let title = std::mem::take(&mut self.paragraph);
                self.heading(number - title.len(), level, &title.join(" "));
            }
            Shape::Underline { .. } | Shape::Rule => {
                self.end_flow();
                self.nesting.outdent(indent);
            }
            Shape::Fence(fence)
                if self.is_outside_items(indent) || self.nesting.around(indent).is_some() =>
            {
                self.end_flow();
                self.skip(number, What::Code);
                self.block = Some(Block::Code {
                    fence,
                    indent,
                    inside: self.nesting.around(indent),
                });
            }
            Shape::Comment => {
                self.end_flow();
                self.skip(number, What::Comment);
                if !text.contains("-->") {
                    self.block = Some(Block::Comment);
                }
            }
            Shape::TableDelimiter | Shape::TableRow => self.table(number, indent, shape),
            Shape::Checkbox(checkbox) => {
                self.end_flow();
                self.nesting.outdent(indent);
                self.checkbox(number, indent, checkbox);
            }
            // A sentence may go on with a number at the start of a line; only `1.` begins a list there.
            Shape::Bullet { marker, text: item }
                if self.flow != Flow::Paragraph
                    || what_is(marker) == What::Bullet
                    || matches!(marker, "1." | "1)") =>
            {
                self.end_flow();
                self.nesting.outdent(indent);
                self.bullet(number, indent, marker, item);
            }
            Shape::Heading { .. } | Shape::Fence(_) | Shape::Bullet { .. } | Shape::Text => {
                self.text(indent, text);
            }
        }
    }

    fn heading(&mut self, number: usize, level: usize, title: &str) {
        self.flow = Flow::Nothing;
        self.nesting.clear();
        let title = text::title(title);
        // A heading without a name can be no epic: what follows stays where it was.
        if !title.is_empty() {
            self.boxes.clear();
            self.outline.enter(level, title, number, &mut self.siblings);
        }
    }

    fn checkbox(&mut self, number: usize, indent: usize, checkbox: Checkbox<'_>) {
        if checkbox.text.is_empty() {
            self.skip(number, What::EmptyCheckbox);
            let around = self.nesting.innermost();
            let (owner, depth) = around.map_or((None, 0), |line| (line.owner, line.depth));
            self.nesting.enter(Nested {
                indent,
                owner,
                depth,
            });
            return;
        }
        self.outline.end_prose();
        let (kind, parent) = match self.boxes.parent(indent) {
            None => (Kind::Story, self.epic(number)),
            Some(above) => (Kind::Task, above),
        };
        let title = text::title(checkbox.text);
        let key = self.siblings.item(self.drafts[parent].key, &title);
        let mut draft = Draft::nested(key, kind, parent, title, number);
        draft.status = checkbox.status;
        if checkbox.optional {
            draft.mark_optional();
        }
        let item = self.drafts.len();
        self.drafts.push(draft);
        self.boxes.enter(indent, item);
        self.nesting.enter(Nested {
            indent,
            owner: Some(item),
            depth: 0,
        });
        self.flow = Flow::Title(item);
    }

    /// The epic that a story on this line belongs to, made if it is the first.
    fn epic(&mut self, number: usize) -> usize {
        let index = self.drafts.len();
        let Some(heading) = self.outline.nearest() else {
            return *self.preamble.get_or_insert_with(|| {
                // No heading is called nothing, so no heading can take this key.
                let key = self.siblings.heading(Key::root(), "");
                self.drafts.push(Draft::epic(key, String::new(), number));
                index
            });
        };
        if let Some(epic) = heading.epic {
            return epic;
        }
        let draft = heading.draft();
        self.drafts.push(draft);
        self.outline.make_epic(index);
        index
    }

    fn bullet(&mut self, number: usize, indent: usize, marker: &str, text: &str) {
        let (owner, depth) = match self.nesting.innermost() {
            Some(Nested { owner, depth, .. }) => (owner, depth),
            None => {
                self.skip(number, what_is(marker));
                (None, 0)
            }
        };
        self.flow = match owner {
            Some(owner) => {
                self.drafts[owner].add_bullet(depth, marker, text);
                Flow::Description {
                    owner,
                    depth: depth + 1,
                }
            }
            None => Flow::Skipped,
        };
        self.nesting.enter(Nested {
            indent,
            owner,
            depth: depth + 1,
        });
    }

    fn table(&mut self, number: usize, indent: usize, shape: Shape<'a>) {
        if self.flow == Flow::Table {
            return;
        }
        let has_head = shape == Shape::TableDelimiter
            && self.flow == Flow::Paragraph
            && self.paragraph.pop_if(|line| line.contains('|')).is_some();
        self.end_flow();
        self.nesting.outdent(indent);
        self.skip(number - usize::from(has_head), What::Table);
        self.flow = Flow::Table;
    }

    fn text(&mut self, indent: usize, text: &'a str) {
        match self.flow {
            Flow::Title(item) => self.drafts[item].add_to_title(text),
            Flow::Description { owner, depth } => self.drafts[owner].add_text(depth, text),
            Flow::Paragraph => self.paragraph.push(text),
            Flow::Table | Flow::Skipped => {}
            Flow::Nothing => {
                self.nesting.outdent(indent);
                self.flow = match self.nesting.innermost() {
                    None => {
                        self.paragraph.push(text);
                        Flow::Paragraph
                    }
                    Some(Nested {
                        owner: Some(owner),
                        depth,
                        ..
                    }) => {
                        self.drafts[owner].add_paragraph(depth, text);
                        Flow::Description { owner, depth }
                    }
                    Some(_) => Flow::Skipped,
                };
            }
        }
    }

    fn end_flow(&mut self) {
        if !self.paragraph.is_empty() {
            self.outline.add_prose(std::mem::take(&mut self.paragraph));
        }
        self.flow = Flow::Nothing;
    }

    /// Four columns and more are code in Markdown, less is a block of its own unless a list holds it.
    fn is_outside_items(&self, indent: usize) -> bool {
        indent < 4 && self.nesting.around(indent).is_none()
    }

    fn skip(&mut self, line: usize, what: What) {
        // A comment may stand in the middle of the text.
        if what != What::Comment {
            self.outline.end_prose();
        }
        self.skipped.push(Skipped { line, what });
    }

    fn finish(mut self, file_stem: &str) -> Result<Plan, PlanError> {
        let unclosed = self.block.map(Block::unclosed);
        // While a block is open nothing else is listed, so the last one listed is that block.
        if let (Some(what), Some(last)) = (unclosed, self.skipped.last_mut()) {
            last.what = what;
            if self.drafts.is_empty() {
                return Err(PlanError::NeverClosed {
                    line: last.line,
                    what,
                });
            }
        }
        if self.drafts.is_empty() {
            return Err(PlanError::NoItems);
        }
        let full_title = self.outline.title().unwrap_or(file_stem).to_owned();
        if let Some(epic) = self.preamble {
            self.drafts[epic].title.clone_from(&full_title);
        }
        let title = text::cut_to_chars(&full_title, super::MAX_TITLE_CHARS).unwrap_or(full_title);
        let items = self.drafts.into_iter().map(Draft::finish).collect();
        Ok(Plan {
            title,
            items,
            skipped: self.skipped,
        })
    }
}
